// Which layers of a model lie where: devices are filled in order, and what none has room for waits
// on the disk.

import QLoRASystem

/// A place for layers and the bytes that they may take there.
package struct DeviceRoom: Sendable, Equatable {
  package let name: String
  /// `Int.max` where nothing bounds it.
  package let bytes: Int

  package init(_ name: String, bytes: Int) {
    self.name = name
    self.bytes = bytes
  }
}

/// A device for each layer.
package struct LayerPlacement: Sendable, Equatable {
  package static let memory = "cpu"
  package static let disk = "disk"

  /// By layer.
  package let devices: [String]
  /// Of each layer's weights.
  package let layerBytes: [Int]
  /// Of the buffers that layers on disk are read into; 0 where there are none.
  package let readAheadBytes: Int

  /// Every layer in memory.
  init(layerBytes: [Int]) {
    devices = layerBytes.map { _ in Self.memory }
    self.layerBytes = layerBytes
    readAheadBytes = 0
  }

  init(devices: [String], layerBytes: [Int], readAheadBytes: Int) {
    self.devices = devices
    self.layerBytes = layerBytes
    self.readAheadBytes = devices.contains(Self.disk) ? readAheadBytes : 0
  }

  /// Layers in order to devices in order: the first that has room takes a layer, and none before
  /// it takes another one, so that neighbours stay together.
  /// - Returns: a device for each layer; nil where one finds no room.
  package static func fill(_ layerBytes: [Int], _ rooms: [DeviceRoom]) -> [String]? {
    var rooms = rooms[...]
    var left = rooms.first?.bytes ?? 0
    var devices: [String] = []
    for bytes in layerBytes {
      while left < bytes {
        rooms = rooms.dropFirst()
        guard let next = rooms.first else { return nil }
        left = next.bytes
      }
      guard let device = rooms.first else { return nil }
      if left != .max { left -= bytes }
      devices.append(device.name)
    }
    return devices
  }

  /// Layers on `device`, ascending.
  package func layers(on device: String) -> [Int] {
    devices.indices.filter { devices[$0] == device }
  }

  package func isOnDisk(_ layer: Int) -> Bool { devices[layer] == Self.disk }

  package var usesDisk: Bool { devices.contains(Self.disk) }

  /// Of the layers on disk.
  package var diskBytes: Int {
    layers(on: Self.disk).reduce(0) { $0 + layerBytes[$1] }
  }
}
