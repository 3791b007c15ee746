// The tape's bookkeeping: who gets which gradient, when memory is shared and when it is copied.
import QLoRACPU
import QLoRATensor
import Testing

@Suite struct TapeTests {
  let tape: Tape

  init() throws { tape = Tape(backend: try CPUBackend(threads: 1)) }

  private func variable(_ values: [Float], needsGradient: Bool = true) -> Variable {
    Variable(Tensor(values, shape: [1, values.count]), needsGradient: needsGradient)
  }

  private func gradient(_ values: [Float]) -> Tensor { Tensor(values, shape: [1, values.count]) }

  @Test func branchesAddUp() {
    let x = variable([1, 2])
    let doubled = tape.add(x, x)
    let tripled = tape.add(doubled, x)
    #expect(tripled.value.floats() == [3, 6])
    let seed = gradient([10, 100])
    tape.accumulate(seed, into: tripled)
    tape.runBackward()
    #expect(tape.takeGradient(of: x)?.floats() == [30, 300])
    #expect(seed.floats() == [10, 100], "the caller's tensor was written to")
  }

  @Test func aSumGivesBothTheSameMemory() {
    let (x, y) = (variable([1]), variable([2]))
    tape.accumulate(gradient([5]), into: tape.add(x, y))
    tape.runBackward()
    let left = tape.takeGradient(of: x)
    #expect(left?.floats() == [5])
    #expect(left?.address == tape.takeGradient(of: y)?.address)
  }

  @Test func sharedGradientsAreCopiedBeforeTheyAreAddedTo() {
    let (x, y) = (variable([1]), variable([2]))
    tape.accumulate(gradient([5]), into: tape.add(x, y))
    tape.runBackward()
    tape.accumulate(gradient([1]), into: x)
    #expect(tape.takeGradient(of: y)?.floats() == [5])
    #expect(tape.takeGradient(of: x)?.floats() == [6])
  }

  @Test func aGradientOfItsOwnIsAddedToInPlace() {
    let x = variable([0])
    tape.accumulate(gradient([1]), into: x)
    let before = tape.gradientTarget(of: x).tensor.address
    tape.accumulate(gradient([1]), into: x)
    #expect(tape.gradientTarget(of: x).tensor.address == before)
    #expect(tape.takeGradient(of: x)?.floats() == [2])
  }

  @Test func targetsSayWhetherTheyHoldASum() {
    let x = variable([0, 0])
    let fresh = tape.gradientTarget(of: x)
    #expect(!fresh.accumulating)
    #expect(fresh.tensor.shape == [1, 2] && fresh.tensor.dtype == .float32)
    #expect(tape.gradientTarget(of: x).accumulating)
  }

  /// The rotation back works in place: it must not turn a gradient that a sibling holds, too.
  @Test func rotatingBackLeavesSharedGradientsAlone() {
    let (x, other) = (variable([1, 0]), variable([0, 0]))
    let quarterTurn = RotaryTable(
      cosines: Tensor([0], shape: [1, 1]), sines: Tensor([1], shape: [1, 1]))
    let rotated = tape.rotary(x, headSize: 2, positions: [0], table: quarterTurn)
    #expect(rotated.value.floats() == [0, 1])
    tape.accumulate(gradient([3, 4]), into: tape.add(rotated, other))
    tape.runBackward()
    #expect(tape.takeGradient(of: x)?.floats() == [4, -3])
    #expect(tape.takeGradient(of: other)?.floats() == [3, 4])
  }

  @Test func takingForgets() {
    let x = variable([0])
    tape.accumulate(gradient([1]), into: x)
    #expect(tape.takeGradient(of: x) != nil)
    #expect(tape.takeGradient(of: x) == nil)
  }

  @Test func constantsCollectNothing() {
    let constant = variable([1], needsGradient: false)
    tape.accumulate(gradient([1]), into: constant)
    #expect(tape.takeGradient(of: constant) == nil)
    #expect(!tape.add(constant, constant).needsGradient)
    #expect(tape.output(constant.value, of: [constant], hasParameters: true).needsGradient)
  }

  @Test func evaluationKeepsNothing() throws {
    let silent = Tape(backend: tape.backend, isRecording: false)
    let x = variable([1])
    let sum = silent.add(x, x)
    #expect(!sum.needsGradient)
    var ran = false
    silent.record(sum) { ran = true }
    silent.runBackward()
    #expect(!ran)
  }

  @Test func recordsRunOnceAndInReverse() {
    let x = variable([1])
    var order: [Int] = []
    for index in 0..<3 { tape.record(x) { order.append(index) } }
    tape.runBackward()
    tape.runBackward()
    #expect(order == [2, 1, 0])
  }

  @Test func aRecordIsDroppedWhenItHasRun() {
    let x = variable([1])
    weak var held: Variable?
    var isHeldLater = true
    tape.record(x) { isHeldLater = held != nil }
    do {
      let kept = variable([2])
      held = kept
      tape.record(x) { _ = kept.value.count }
    }
    #expect(held != nil)
    tape.runBackward()
    #expect(!isHeldLater)
  }

  @Test func whatNobodyUsedHasNoGradient() {
    let (x, y) = (variable([1]), variable([2]))
    _ = tape.activate(x, y, .silu)
    tape.runBackward()
    #expect(tape.takeGradient(of: x) == nil)
  }
}
