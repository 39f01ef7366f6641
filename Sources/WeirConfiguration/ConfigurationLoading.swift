import Foundation
import Yams

extension Configuration {
    /// Largest file that is read, in bytes.
    private static let fileLimit = 1 << 20

    /// Reads and checks a file.
    ///
    /// - Parameters:
    ///   - path: the file, as the user named it; errors repeat it.
    ///   - environment: what `${NAME}` refers to; nil takes the environment of the process.
    ///   - enginePresets: the names that `pools[].engine.preset` may take; empty accepts any.
    /// - Throws: every problem found, syntax before keys before meaning.
    public static func load(
        path: String, environment: [String: String]? = nil, enginePresets: [String] = []
    ) throws(ConfigurationError) -> Configuration {
        func fault(_ message: String) -> ConfigurationError {
            ConfigurationError(problems: [ConfigurationProblem(file: path, keyPath: "", message: message)])
        }
        let handle: FileHandle
        let bytes: Data
        do {
            handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            bytes = try handle.read(upToCount: fileLimit + 1) ?? Data()
        } catch {
            throw fault(
                "cannot be read: \(FileManager.default.fileExists(atPath: path) ? "access denied" : "no such file")")
        }
        guard bytes.count <= fileLimit else { throw fault("is longer than \(SizeText.text(fileLimit))") }
        guard let text = String(data: bytes, encoding: .utf8) else { throw fault("is not UTF-8 text") }
        return try parse(
            text, file: path, environment: environment ?? ProcessInfo.processInfo.environment,
            enginePresets: enginePresets)
    }

    /// Reads and checks the text of a file; parameters as for `load`.
    public static func parse(
        _ yaml: String, file: String, environment: [String: String], enginePresets: [String] = []
    ) throws(ConfigurationError) -> Configuration {
        let root: Node
        do {
            root = try Yams.compose(yaml: yaml) ?? Node([:])
        } catch {
            throw ConfigurationError(problems: [syntaxProblem(error, file: file)])
        }
        var reader = ConfigurationReader(file: file, environment: environment)
        // A missing or misread value would make half of the semantic messages wrong, so these come second.
        if var configuration = reader.section(Configuration.self, root, at: ""), reader.problems.isEmpty {
            configuration.completeRedisURLs(from: environment, reporting: &reader)
            for fault in configuration.faults(enginePresets: enginePresets) {
                reader.report(fault.keyPath, fault.message)
            }
            if reader.problems.isEmpty { return configuration }
        }
        throw ConfigurationError(problems: reader.problems)
    }

    /// Checks a configuration that was put together in another way than from a file.
    ///
    /// - Parameters:
    ///   - file: what errors name in the place of a file.
    ///   - enginePresets: as for `load`.
    /// - Throws: everything that is wrong between keys whose values are each right.
    public func check(file: String, enginePresets: [String] = []) throws(ConfigurationError) {
        let problems = faults(enginePresets: enginePresets).prefix(ConfigurationError.limit)
            .map { ConfigurationProblem(file: file, keyPath: $0.keyPath, message: $0.message) }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
    }

    /// The configuration of `weir serve --endpoint URL…`: one pool called `default` whose endpoints are asked for their
    /// models, and, with a path, one embedded queue called `default`.
    ///
    /// - Throws: a problem for each URL that is not one.
    public static func forEndpoints(
        _ urls: [String], queuePath: String? = nil
    ) throws(ConfigurationError) -> Configuration {
        var problems: [ConfigurationProblem] = []
        func note(_ message: String) {
            problems.append(ConfigurationProblem(file: "--endpoint", keyPath: "", message: message))
        }
        var pool = Pool()
        pool.name = "default"
        for url in urls {
            do throws(ScalarFault) {
                pool.endpoints.append(Endpoint(url: try EndpointURL(parsing: url)))
            } catch {
                note(error.message)
            }
        }
        var configuration = Configuration()
        configuration.pools = [pool]
        if let queuePath {
            var queue = MessageQueue()
            queue.name = "default"
            queue.embedded = .init()
            queue.embedded?.path = queuePath
            configuration.async = .init()
            configuration.async?.queues = [queue]
        }
        if problems.isEmpty { configuration.faults(enginePresets: []).forEach { note($0.message) } }
        guard problems.isEmpty else { throw ConfigurationError(problems: problems) }
        return configuration
    }

    /// Gives Redis queues without a server the one that the environment names.
    private mutating func completeRedisURLs(
        from environment: [String: String], reporting reader: inout ConfigurationReader
    ) {
        for index in async?.queues.indices ?? 0..<0 where async?.queues[index].redis.map({ $0.url == nil }) ?? false {
            let place = "async.queues[\(index)].redis.url"
            guard let text = environment[Self.redisVariable] else {
                reader.report(place, "is required: write it, or set \(Self.redisVariable)")
                continue
            }
            do throws(ScalarFault) {
                async?.queues[index].redis?.url = try RedisURL(parsing: text)
            } catch {
                reader.report(place, "\(Self.redisVariable): \(error.message)")
            }
        }
    }

    /// The environment variable that names the Redis server of queues that name none.
    public static let redisVariable = "REDIS_URL"

    private static func syntaxProblem(_ error: any Error, file: String) -> ConfigurationProblem {
        var problem = ConfigurationProblem(file: file, keyPath: "", message: "is not valid YAML")
        switch error as? YamlError {
        case .scanner(_, let message, let mark, _), .parser(_, let message, let mark, _),
            .composer(_, let message, let mark, _):
            problem.message = "is not valid YAML: \(message)"
            problem.line = mark.line
            problem.column = mark.column
        case .reader(let message, _, _, _): problem.message = "is not valid YAML: \(message)"
        case .duplicatedKeysInMapping(let duplicates, let context):
            problem.message = "the key \(duplicates.joined(separator: ", ")) appears twice in one mapping"
            problem.line = context.mark.line
            problem.column = context.mark.column
        default: break
        }
        return problem
    }
}
