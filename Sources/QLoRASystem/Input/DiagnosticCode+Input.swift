// The codes of failures that come from an input file as such, whatever its format (E0201…E0209).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let fileMissing = DiagnosticCode(
    "E0201", .inputMissing,
    "A file that the command needs is not there. The message names the path that was looked for; "
      + "check its spelling, or download the model again.")
  package static let fileUnreadable = DiagnosticCode(
    "E0202", .permission,
    "A file exists but the system refused to open it. Check its permissions and those of the "
      + "folders above it.")
  package static let fileNotRegular = DiagnosticCode(
    "E0203", .badData,
    "The path leads to a folder, a pipe, a socket or a device where a plain file is needed. Such "
      + "things are refused, because reading them may never end.")
  package static let fileIsLFSPointer = DiagnosticCode(
    "E0204", .badData,
    "The file is a Git LFS pointer: a few lines of text that stand for the real file, which was "
      + "never downloaded. Run `git lfs pull` in the folder of the model.")
  package static let fileIsPickle = DiagnosticCode(
    "E0205", .badData,
    "The file is a Python pickle (.bin, .pt, .pth). Reading one can run code of its author, so "
      + "it is never read here. Convert it on a machine that may run that code: `python3 -c \"from "
      + "transformers import AutoModelForCausalLM as M; M.from_pretrained('FOLDER', "
      + "dtype='auto').save_pretrained('NEW')\"`, and copy the tokenizer's files beside it.")
  package static let fileIsForeign = DiagnosticCode(
    "E0206", .badData,
    "The file is of another kind than its place or name says, such as a web page that was saved "
      + "instead of a model.")
  package static let fileReadFailed = DiagnosticCode(
    "E0207", .inputOutput,
    "Reading failed in the middle, or the file became shorter while it was being read. Check the "
      + "disk, and that nothing else writes the file.")
  package static let fileOutside = DiagnosticCode(
    "E0208", .badData,
    "A link inside a model's folder leads out of that folder. A folder from elsewhere could pass "
      + "any file of this machine off as its own in this way, so such links are refused; those of "
      + "the Hugging Face cache stay inside it and are followed. Copy the file into the folder, or "
      + "give the folder that the link leads to.")
  package static let fileTooLarge = DiagnosticCode(
    "E0209", .badData,
    "A file that is read as a whole is larger than files of its kind can be. It is probably "
      + "another file under this name.")

  package static let allInputCodes: [DiagnosticCode] = [
    fileMissing, fileUnreadable, fileNotRegular, fileIsLFSPointer, fileIsPickle, fileIsForeign,
    fileReadFailed, fileOutside, fileTooLarge,
  ]
}
