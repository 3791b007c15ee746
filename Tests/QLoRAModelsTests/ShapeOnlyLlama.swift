// The tiny golden Llama without its data, on a backend that only counts.

import QLoRACPU
import QLoRAFormats
import QLoRATensor
import TestSupport

import QLoRAModels
import TinyModel

struct ShapeOnlyLlama {
  let backend: CPUBackend
  let counter: CountingBackend
  let model: DecoderModel
  let batch: TokenBatch

  init(
    quantization: WeightQuantization? = .fourBit(QuantizationSpec()),
    computeDType: DType = .float32, rank: Int = 4, threads: Int = 2
  ) throws {
    backend = try CPUBackend(threads: threads, isShapeOnly: true)
    counter = CountingBackend(backend)
    let source = try ModelSource.open(Goldens.path("tiny-llama"))
    model = try ModelLoader(
      source.shapeOnly, backend: counter,
      options: LoadOptions(quantization: quantization, computeDType: computeDType)
    ).load()
    try model.addHollowAdapters(
      AdapterOptions(rank: rank, alpha: 8), tensor: backend.hollowTensor)
    batch = try TinyLlama(.float32, adapters: false).batch
  }

  func costs() -> [[BlockCost]] {
    model.blockCosts(batch) { (backend.storagePool.statistics.liveBytes, counter.operations) }
  }
}
