print("make-tool-calls")
