public import Logging

/// A log handler that writes one JSON object per line, or plain text for people.
///
/// Use: `LoggingSystem.bootstrap { JSONLineLogHandler(label: $0, writer: writer) }` with one writer for the process.
/// A line has `time`, `level`, `logger`, `message`, then the metadata by key; metadata that would hide one of these gets
/// the prefix `metadata.`.
public struct JSONLineLogHandler: LogHandler {
    /// How a line looks.
    public enum Format: Hashable, Sendable {
        /// One JSON object.
        case json
        /// `time level logger: message key=value`, for terminals.
        case plain
    }

    /// Longest text of a message or of one metadata value, in bytes; callers' input may end up in either.
    static let textLimit = 4096
    private static let reservedKeys: Set<String> = ["time", "level", "logger", "message"]

    private let label: String
    private let writer: LineWriter
    private let format: Format
    private let now: @Sendable () -> Int64

    /// Metadata of every line.
    public var metadata: Logger.Metadata = [:]
    /// Metadata taken from the task that logs.
    public var metadataProvider: Logger.MetadataProvider?
    /// Lines below this level are not written.
    public var logLevel = Logger.Level.info

    /// Creates a handler.
    ///
    /// - Parameters:
    ///   - label: the logger's label.
    ///   - writer: where lines go.
    ///   - format: how they look; nil takes plain text for a terminal and JSON for everything else.
    public init(label: String, writer: LineWriter, format: Format? = nil) {
        self.init(label: label, writer: writer, format: format, now: { WallClock.milliseconds() })
    }

    init(label: String, writer: LineWriter, format: Format?, now: @escaping @Sendable () -> Int64) {
        self.label = label
        self.writer = writer
        self.format = format ?? (writer.isTerminal ? .plain : .json)
        self.now = now
    }

    /// One entry of the metadata of every line.
    public subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    /// Writes one line.
    public func log(event: LogEvent) {
        var all = metadata
        if let metadataProvider { all.merge(metadataProvider.get()) { $1 } }
        if let own = event.metadata { all.merge(own) { $1 } }
        if let error = event.error { all["error"] = "\(error)" }
        let entries = all.sorted { $0.key < $1.key }
        let time = WallClock.text(now())
        switch format {
        case .json: writeJSON(event, time: time, entries)
        case .plain: writePlain(event, time: time, entries)
        }
    }

    private func writeJSON(_ event: LogEvent, time: String, _ entries: [(key: String, value: Logger.MetadataValue)]) {
        var json = JSONWriter()
        json.object { line in
            line.value("time", time)
            line.value("level", event.level.rawValue)
            line.value("logger", label)
            line.value("message", Self.cut(event.message.description))
            for (key, value) in entries {
                Self.write(value, to: &line, key: Self.reservedKeys.contains(key) ? "metadata.\(key)" : key)
            }
        }
        writer.write(json.bytes)
    }

    private func writePlain(_ event: LogEvent, time: String, _ entries: [(key: String, value: Logger.MetadataValue)]) {
        let level = event.level.rawValue + String(repeating: " ", count: max(0, 7 - event.level.rawValue.count))
        var line = "\(time) \(level) \(label): \(Self.cut(event.message.description))"
        for (key, value) in entries { line += " \(key)=\(Self.cut(value.description))" }
        // Line feeds and escape sequences from outside must not forge lines or drive the terminal.
        writer.write(line.utf8.map { $0 < 0x20 || $0 == 0x7f ? UInt8(ascii: " ") : $0 })
    }

    private static func write(_ value: Logger.MetadataValue, to json: inout JSONWriter, key: String?) {
        switch value {
        case .string(let text): json.value(key, cut(text))
        case .stringConvertible(let number as Int): json.value(key, number)
        case .stringConvertible(let number as Double): json.value(key, number)
        case .stringConvertible(let flag as Bool): json.value(key, flag)
        case .stringConvertible(let other): json.value(key, cut(other.description))
        case .array(let elements): json.array(key) { array in elements.forEach { write($0, to: &array, key: nil) } }
        case .dictionary(let entries):
            json.object(key) { object in
                for (name, element) in entries.sorted(by: { $0.key < $1.key }) {
                    write(element, to: &object, key: name)
                }
            }
        }
    }

    private static func cut(_ text: String) -> String {
        text.utf8.count <= textLimit ? text : "\(text.prefix(textLimit / 4))…"
    }
}
