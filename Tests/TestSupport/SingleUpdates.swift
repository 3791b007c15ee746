// Updates of one parameter, as tests and cases ask for them.
import QLoRATensor

extension OptimizerBackend {
  package func adamW(
    parameter: Tensor, gradient: Tensor, firstMoment: OptimizerMoment,
    secondMoment: OptimizerMoment, _ step: AdamWStep
  ) {
    let moments = [firstMoment, secondMoment]
    adamW([ParameterUpdate(parameter: parameter, gradient: gradient, moments: moments)], step)
  }

  package func lion(
    parameter: Tensor, gradient: Tensor, moment: OptimizerMoment, _ step: LionStep
  ) {
    lion([ParameterUpdate(parameter: parameter, gradient: gradient, moments: [moment])], step)
  }

  package func sgd(parameter: Tensor, gradient: Tensor, moment: Tensor?, _ step: SGDStep) {
    let moments = moment.map { [OptimizerMoment($0)] } ?? []
    sgd([ParameterUpdate(parameter: parameter, gradient: gradient, moments: moments)], step)
  }
}
