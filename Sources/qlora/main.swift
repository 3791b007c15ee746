print("qlora")
