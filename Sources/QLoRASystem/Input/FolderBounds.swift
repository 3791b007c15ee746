// Whether a file that was opened by a name in a folder lies in that folder once links are followed.
#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

enum FolderBounds {
  /// - Parameter opened: what the opened file is, so that a link which changed after it was opened
  ///   can't vouch for another file.
  static func holds(_ path: String, _ opened: stat, in folder: String) -> Bool {
    var entry = stat()
    guard lstat(path, &entry) == 0 else { return false }
    if entry.st_mode & S_IFMT != S_IFLNK {
      return entry.st_dev == opened.st_dev && entry.st_ino == opened.st_ino
    }
    guard let root = resolved(folder).map(bounds), let real = resolved(path),
      real.hasPrefix(root == "/" ? root : root + "/"), stat(real, &entry) == 0
    else { return false }
    return entry.st_dev == opened.st_dev && entry.st_ino == opened.st_ino
  }

  /// The folder itself; but the files of the Hugging Face cache, below
  /// `models--ORG--NAME/snapshots/REV`, are links into `models--ORG--NAME/blobs`.
  private static func bounds(_ folder: String) -> String {
    var snapshots = FilePath.parent(of: folder)
    while snapshots != FilePath.parent(of: snapshots) {
      let repository = FilePath.parent(of: snapshots)
      let name = FilePath.lastComponent(of: repository)
      if FilePath.lastComponent(of: snapshots) == "snapshots",
        ["models--", "datasets--"].contains(where: name.hasPrefix)
      {
        return repository
      }
      snapshots = repository
    }
    return folder
  }

  /// The path without links; nil where there is nothing or too many links.
  private static func resolved(_ path: String) -> String? {
    // SAFETY: the string that `realpath` allocates is copied and freed here.
    guard let text = realpath(path, nil) else { return nil }
    defer { free(text) }
    return String(cString: text)
  }
}
