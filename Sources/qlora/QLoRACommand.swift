// The root of the command line: the list of commands.
import ArgumentParser
import QLoRAPipeline

struct QLoRACommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "qlora",
    abstract: "Fine-tunes language models: a frozen 4-bit base, a small trained adapter.",
    discussion: """
      A run is described by a recipe, a JSON file. To begin:
        qlora recipes cp smollm2-135m-qlora-tool-calls my-recipe.json
        qlora validate my-recipe.json
        qlora train my-recipe.json

      Exit codes: 0 ok, 64 usage or recipe, 65 bad model, data or checkpoint, 66 input missing, \
      69 network, 70 internal, 73 output exists, 74 input/output, 75 stopped and resumable, \
      77 permission, 78 resume refused, 80 diverged, 81 would not fit.
      """,
    version: ToolVersion.number,
    subcommands: [
      TrainCommand.self, ResumeCommand.self, VerifyResumeCommand.self, ValidateCommand.self,
      PlanCommand.self, PreviewCommand.self, RunsCommand.self, DashboardCommand.self,
      EvalCommand.self, ClassifyCommand.self, GenerateCommand.self, ChatCommand.self,
      ServeCommand.self, ImageCommand.self, LatentsCommand.self,
      InspectCommand.self, QuantizeCommand.self, DequantizeCommand.self, MergeCommand.self,
      ExportCommand.self, DownloadCommand.self, CacheCommand.self, RecipesCommand.self,
      ImportConfigCommand.self, SchemaCommand.self, DoctorCommand.self, ExplainCommand.self,
      ManualCommand.self, CompletionsCommand.self,
    ])
}
