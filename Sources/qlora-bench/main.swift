print("qlora-bench")
