// That the GPU backend has every operation; what they compute is in its other files.
import QLoRATensor

extension CUDABackend: Backend {}
