// The codes of what can go wrong between the hub, the network and the hub's cache (E095x, E096x).
import QLoRADiagnostics

extension DiagnosticCode {
  package static let hubUnreachable = DiagnosticCode(
    "E0951", .network,
    """
    The server could not be reached, fell silent, or broke off again and again. What has arrived \
    is kept: the same command goes on where it stopped. Behind a proxy set https_proxy; where \
    another certificate signs connections, name it in CURL_CA_BUNDLE or SSL_CERT_FILE.
    """)
  package static let hubRefused = DiagnosticCode(
    "E0952", .network,
    """
    The server answered something that is no answer of a hub: another status, another size, a \
    redirect to where nothing may be asked, a listing that can't be read. HF_ENDPOINT may name \
    the wrong server, or a page of a network asks for a login.
    """)
  package static let hubMissing = DiagnosticCode(
    "E0953", .inputMissing,
    """
    The hub has no model or data set of this name, no such revision, or no such file. For private \
    ones it says the same to strangers: set HF_TOKEN. Data sets need --dataset.
    """)
  package static let hubGated = DiagnosticCode(
    "E0954", .permission,
    """
    The model's owner decides who may have it. Open its page in a browser, ask for access or \
    accept its terms, then run the command with HF_TOKEN set to a token of that account.
    """)
  package static let hubDenied = DiagnosticCode(
    "E0955", .permission,
    """
    The hub refused the token, or wants one. Set HF_TOKEN to a valid token, or write it into \
    HF_HOME/token; a token may also lack the right to read this model.
    """)
  package static let hubDamaged = DiagnosticCode(
    "E0956", .network,
    """
    What arrived is not what the hub announced: another size or another digest, twice from the \
    first byte on. Nothing of it was kept. A proxy may change what passes it, or the file was \
    replaced meanwhile; run the command again.
    """)
  package static let hubNameRefused = DiagnosticCode(
    "E0957", .badData,
    """
    The hub named a file, a commit or a digest that could not be kept safely: a path that leads \
    out of its folder, control characters, a digest that is none. Nothing was written.
    """)
  package static let hubSettingInvalid = DiagnosticCode(
    "E0958", .usage,
    """
    HF_ENDPOINT must be an https address; http is for this machine only (127.0.0.1, localhost), \
    because anybody on the way could read the token and change the model.
    """)
  package static let hubReferenceInvalid = DiagnosticCode(
    "E0959", .usage,
    """
    A model of the hub is named ORG/NAME, with @REVISION for another than main; one file of it is \
    hf://ORG/NAME@REVISION/FILE, of a data set hf://datasets/ORG/NAME@REVISION/FILE. Names hold \
    letters, digits, dots, hyphens and underscores.
    """)
  package static let hubNothingChosen = DiagnosticCode(
    "E0960", .usage,
    """
    It is not clear which files are wanted. Without --include those are fetched that qlora reads; \
    a repository of GGUF files holds one model in many sizes, so the one wanted has to be named.
    """)
  package static let hubNotCached = DiagnosticCode(
    "E0961", .inputMissing,
    """
    The model or file is not in the hub's cache, or not all of it, and nothing is fetched \
    unasked. `qlora download ID` fetches it; HF_HUB_OFFLINE=1 forbids that.
    """)
  package static let hubNoLibrary = DiagnosticCode(
    "E0962", .network,
    """
    Downloads need libcurl, which every distribution has: on Debian and Ubuntu \
    `sudo apt-get install curl`. Everything else of qlora works without it.
    """)
  package static let hubNoSpace = DiagnosticCode(
    "E0963", .inputOutput,
    """
    The files would not fit onto the disk that holds the cache. Nothing was fetched. Make room, \
    or let HF_HUB_CACHE name a folder on another disk.
    """)
  package static let hubStopped = DiagnosticCode(
    "E0964", .stoppedResumable,
    """
    The download was stopped by a signal. What has arrived is kept; the same command goes on \
    where it stopped.
    """)
  package static let hubBlobDamaged = DiagnosticCode(
    "E0965", .badData,
    """
    A file in the hub's cache has other bytes than its name says: the disk failed, or a program \
    wrote into it. Remove it and run `qlora download` again.
    """)

  package static let allHubCodes: [DiagnosticCode] = [
    hubUnreachable, hubRefused, hubMissing, hubGated, hubDenied, hubDamaged, hubNameRefused,
    hubSettingInvalid, hubReferenceInvalid, hubNothingChosen, hubNotCached, hubNoLibrary,
    hubNoSpace, hubStopped, hubBlobDamaged,
  ]
}
