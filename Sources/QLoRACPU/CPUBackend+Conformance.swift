// That the CPU backend has every operation; what they compute is in its other files.
import QLoRATensor

extension CPUBackend: Backend {}
