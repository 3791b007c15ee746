// What a device must be able to do for an optimizer, and the words it is asked in.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Hyperparameters of one AdamW update at step `step` (from 1).
/// Source: Loshchilov & Hutter 2019, "Decoupled Weight Decay Regularization", arXiv:1711.05101.
package struct AdamWStep: Sendable, Hashable {
  package var learningRate: Double
  package var beta1: Double
  package var beta2: Double
  package var epsilon: Double
  package var weightDecay: Double
  package var step: Int

  package init(
    learningRate: Double, beta1: Double, beta2: Double, epsilon: Double, weightDecay: Double,
    step: Int
  ) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.epsilon = epsilon
    self.weightDecay = weightDecay
    self.step = step
  }
}

/// The constants of an AdamW update as loops over elements take them.
package struct AdamWConstants: Sendable {
  package let decay, firstWeight, beta2, secondWeight, correction2Root, epsilon: Float
  package let negativeStepSize: Float
  /// 0 where the mean is interpolated as PyTorch does.
  package let firstDecay: Float
}

extension AdamWStep {
  /// Computed in double precision and rounded once each, as PyTorch does.
  package func constants(interpolatingMean: Bool) -> AdamWConstants {
    let correction1 = 1 - pow(beta1, Double(step))
    let correction2 = 1 - pow(beta2, Double(step))
    return AdamWConstants(
      decay: Float(1 - learningRate * weightDecay), firstWeight: Float(1 - beta1),
      beta2: Float(beta2), secondWeight: Float(1 - beta2),
      correction2Root: Float(correction2.squareRoot()), epsilon: Float(epsilon),
      negativeStepSize: Float(-(learningRate / correction1)),
      firstDecay: interpolatingMean ? 0 : Float(beta1))
  }
}

/// Hyperparameters of one Lion update.
/// Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms", arXiv:2302.06675,
/// algorithm 2.
package struct LionStep: Sendable, Hashable {
  package var learningRate: Double
  /// Weighs the mean against the gradient in the update.
  package var beta1: Double
  /// Weighs them in the mean itself.
  package var beta2: Double
  package var weightDecay: Double

  package init(learningRate: Double, beta1: Double, beta2: Double, weightDecay: Double) {
    self.learningRate = learningRate
    self.beta1 = beta1
    self.beta2 = beta2
    self.weightDecay = weightDecay
  }
}

/// Hyperparameters of one update of stochastic gradient descent.
package struct SGDStep: Sendable, Hashable {
  package var learningRate: Double
  /// Part of the last step that is taken again; 0 without a state.
  package var momentum: Double
  /// Added to the gradient, times the parameter.
  package var weightDecay: Double

  package init(learningRate: Double, momentum: Double, weightDecay: Double) {
    self.learningRate = learningRate
    self.momentum = momentum
    self.weightDecay = weightDecay
  }
}

/// One state of one parameter: float32 values, or 8-bit codes with a scale for each block.
/// Source: Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", arXiv:2110.02861.
package struct OptimizerMoment: Sendable {
  /// Elements that share one scale.
  package static let blockSize = 256
  /// Parameters of fewer elements keep float32 states: bitsandbytes' `min_8bit_size`.
  package static let smallestBlockwiseCount = 4096

  /// The parameter's shape; float32, or uint8 codes of a dynamic map.
  package let values: Tensor
  /// `[ceil(count / blockSize)]` float32: each block's largest magnitude. nil beside float32.
  package let scales: Tensor?

  package init(_ values: Tensor, scales: Tensor? = nil) {
    self.values = values
    self.scales = scales
  }

  /// Zeros for a parameter of `shape`, in 8 bits where that is wanted and the shape large enough.
  /// - Parameter tensor: makes a tensor of zeros.
  package init(
    zeros shape: Shape, blockwise: Bool,
    tensor: (Shape, DType) -> Tensor = { Tensor(zeros: $0, $1) }
  ) {
    guard blockwise, shape.count >= Self.smallestBlockwiseCount else {
      self.init(tensor(shape, .float32))
      return
    }
    let blocks = (shape.count + Self.blockSize - 1) / Self.blockSize
    self.init(tensor(shape, .uint8), scales: tensor([blocks], .float32))
  }

  /// Bytes of the tensors that `init(zeros:blockwise:)` makes for so many elements.
  package static func byteCounts(of count: Int, blockwise: Bool) -> [Int] {
    guard blockwise, count >= smallestBlockwiseCount else {
      return [count * DType.float32.byteSize]
    }
    return [count, (count + blockSize - 1) / blockSize * DType.float32.byteSize]
  }
}

/// A parameter with what its update needs.
package struct ParameterUpdate: Sendable {
  package let parameter: Tensor
  package let gradient: Tensor
  package let moments: [OptimizerMoment]

  package init(parameter: Tensor, gradient: Tensor, moments: [OptimizerMoment]) {
    precondition(gradient.count == parameter.count)
    precondition(moments.allSatisfy { $0.values.count == parameter.count })
    self.parameter = parameter
    self.gradient = gradient
    self.moments = moments
  }
}

/// The part of a backend that an optimizer needs; parameters and gradients are float32, and all is
/// done in place. States in 8 bits are decoded, updated and encoded again as bitsandbytes does on
/// a CPU.
package protocol OptimizerBackend: AnyObject, Sendable {
  /// Operations say nothing of failures: a device that has failed computes nothing more, and its
  /// results mean nothing. Who is about to rely on results asks here.
  /// - Throws: why the device failed.
  func checkHealth() throws

  /// Bytes that tensors may still take; nil where the device does not say.
  var roomBytes: Int? { get }

  /// Whether there is memory outside of the device's own, in which paged states lie.
  var hasOutsideMemory: Bool { get }
  /// Zeros that take nothing of the device's own memory, only where there is memory outside of it.
  func outsideZeros(_ shape: Shape, _ dtype: DType) -> Tensor

  /// Decoupled decay, two bias-corrected moments; where they are float32, it rounds as
  /// `torch.optim.AdamW` does (for one tensor at a time). The first moment's codes are those of
  /// the signed dynamic map, the second's of the unsigned one.
  func adamW(_ updates: [ParameterUpdate], _ step: AdamWStep)
  /// Decoupled decay, and the sign of a mean of mean and gradient; the mean is the one moment.
  func lion(_ updates: [ParameterUpdate], _ step: LionStep)
  /// Coupled decay, heavy-ball momentum; one float32 moment, and none where momentum is 0.
  func sgd(_ updates: [ParameterUpdate], _ step: SGDStep)

  /// Σ x² in double precision, in an order that does not depend on the number of threads.
  func sumOfSquares(_ tensor: Tensor) -> Double
  /// The same of each.
  func sumsOfSquares(_ tensors: [Tensor]) -> [Double]
  func scale(_ tensor: Tensor, by factor: Float)
  func scale(_ tensors: [Tensor], by factor: Float)
  /// Zeros, whatever was there.
  func clear(_ tensors: [Tensor])
}

extension OptimizerBackend {
  /// Nothing fails where the host itself computes.
  package func checkHealth() throws {}

  /// The host's memory is planned, or pages.
  package var roomBytes: Int? { nil }

  /// What the host computes with is its own memory.
  package var hasOutsideMemory: Bool { false }

  package func outsideZeros(_ shape: Shape, _ dtype: DType) -> Tensor {
    Tensor(zeros: shape, dtype)
  }

  package func sumsOfSquares(_ tensors: [Tensor]) -> [Double] { tensors.map(sumOfSquares) }

  package func scale(_ tensors: [Tensor], by factor: Float) {
    for tensor in tensors { scale(tensor, by: factor) }
  }

  package func clear(_ tensors: [Tensor]) { for tensor in tensors { tensor.zero() } }
}
