import Basics
import EndpointPickerConfiguration
import Foundation
import Pool
import Routing
import WeirConfiguration

/// How the requests of a pool are routed.
struct PoolRouting {
    /// What is followed.
    let policy: RoutingPolicy
    /// What only judges.
    let shadow: RoutingPolicy?
    /// The file that `policy` is from, which may also speak of admission.
    let picker: EndpointPickerConfiguration?
    /// Further metrics of the endpoints that either policy reads by a name.
    let attributes: [EndpointAttribute]

    /// Reads what the pool's `routing` section says.
    ///
    /// - Parameters:
    ///   - place: where the pool stands in the configuration, for errors.
    ///   - files: reads the files that it names.
    init(
        _ pool: Configuration.Pool, at place: String, files: inout EndpointPickerFiles
    ) throws(ServiceError) {
        let settings = pool.routing
        let configured = try Self.attributes(pool.scrape, at: "\(place).scrape.attributes (pool \(pool.name))")
        let place = "\(place).routing"
        if let path = settings.endpointPickerConfig {
            let read = try files.read(path, for: pool, at: "\(place).endpointPickerConfig", isFollowed: true)
            policy = .weighted(read.policy)
            picker = read
        } else {
            policy = .cost(RoutingCostConfiguration(settings))
            picker = nil
        }
        let judge: EndpointPickerConfiguration?
        switch settings.shadow {
        case nil: (shadow, judge) = (nil, nil)
        case .cost: (shadow, judge) = (.cost(RoutingCostConfiguration(settings)), nil)
        case .endpointPickerConfig(let path):
            let read = try files.read(path, for: pool, at: "\(place).shadow", isFollowed: false)
            (shadow, judge) = (.weighted(read.policy), read)
        }
        attributes = (configured + (picker?.attributes ?? []) + (judge?.attributes ?? [])).merged()
        guard attributes.reduce(0, { $0 + $1.specs.count }) <= EndpointAttribute.limit else {
            throw ServiceError(
                "pool \(pool.name): its attributes have more than \(EndpointAttribute.limit) series together",
                isConfiguration: true)
        }
        let known = Set(attributes.map(\.name))
        for name in policy.attributesRead + (shadow?.attributesRead ?? []) where !known.contains(name) {
            files.note(
                "pool \(pool.name): its EndpointPickerConfig reads the attribute \(name), but neither its customMetrics nor "
                    + "scrape.attributes of the pool say which metric that is; no endpoint will have it")
        }
    }

    private static func attributes(
        _ scrape: Configuration.Scrape, at place: String
    ) throws(ServiceError) -> [EndpointAttribute] {
        var attributes: [EndpointAttribute] = []
        for (name, text) in scrape.attributes.sorted(by: { $0.key < $1.key }) {
            do throws(MetricSpec.ParseError) {
                attributes.append(EndpointAttribute(name: name, specs: [try MetricSpec(parsing: text)]))
            } catch {
                throw ServiceError("\(place): \(name): the metric spec \(text) \(error)", isConfiguration: true)
            }
        }
        return attributes
    }
}

extension RoutingCostConfiguration {
    fileprivate init(_ settings: Configuration.Routing) {
        self.init(
            decodeShare: Float(settings.decodeShare), interferenceShare: Float(settings.interferenceShare),
            penaltyFactor: Float(settings.penaltyFactor),
            adapterLoadMilliseconds: Float(settings.adapterLoad.milliseconds),
            adapterSwapMilliseconds: Float(settings.adapterSwap.milliseconds))
    }
}

/// Reads EndpointPickerConfig files, each once.
struct EndpointPickerFiles {
    private var read: [String: EndpointPickerConfiguration] = [:]
    /// What is accepted without effect, or with another effect than might be expected; each sentence once.
    private(set) var notices: [String] = []

    /// The configuration in a file.
    ///
    /// - Parameters:
    ///   - path: the file; a relative path starts at the working directory, like all that the configuration names.
    ///   - pool: the pool that wants it.
    ///   - place: the key that names it, for errors.
    ///   - isFollowed: whether the pool takes its admission from it too.
    /// - Throws: every problem found, a line each.
    mutating func read(
        _ path: String, for pool: Configuration.Pool, at place: String, isFollowed: Bool
    ) throws(ServiceError) -> EndpointPickerConfiguration {
        let configuration: EndpointPickerConfiguration
        if let earlier = read[path] {
            configuration = earlier
        } else {
            let text = try Self.text(of: path, owner: "\(place) (pool \(pool.name))")
            do throws(EndpointPickerConfigurationError) {
                configuration = try EndpointPickerConfiguration.parse(text, file: path)
            } catch {
                let lines = error.problems.map { "\(place) (pool \(pool.name)): \($0)" }
                throw ServiceError(lines.joined(separator: "\n"), isConfiguration: true)
            }
            read[path] = configuration
            for notice in configuration.notices { note(notice.description) }
        }
        if isFollowed, let age = configuration.staleness, age < pool.scrape.interval {
            note(
                "\(path): the metricsStalenessThreshold of \(DurationText.text(age)) is shorter than scrape.interval of the "
                    + "pool \(pool.name); metrics count as fresh for two intervals instead")
        }
        return configuration
    }

    mutating func note(_ sentence: String) {
        if !notices.contains(sentence) { notices.append(sentence) }
    }

    private static func text(of path: String, owner: String) throws(ServiceError) -> String {
        func fault(_ message: String) -> ServiceError {
            ServiceError("\(owner): \(path): \(message)", isConfiguration: true)
        }
        let bytes: Data
        do {
            let handle = try FileHandle(forReadingFrom: URL(fileURLWithPath: path))
            defer { try? handle.close() }
            // One byte more than allowed, so that `parse` sees that it is too long.
            bytes = try handle.read(upToCount: EndpointPickerConfiguration.longestText + 1) ?? Data()
        } catch {
            throw fault(
                "cannot be read: \(FileManager.default.fileExists(atPath: path) ? "access denied" : "no such file")")
        }
        guard let text = String(data: bytes, encoding: .utf8) else { throw fault("is not UTF-8 text") }
        return text
    }
}

extension EndpointPickerConfiguration {
    /// The age at which metrics are too old for the detector that admission takes from here; nil if it takes none.
    fileprivate var staleness: TimeSpan? {
        guard speaksOfSaturation, case .utilization(let detector) = saturationDetector else { return nil }
        return .milliseconds(detector.staleAfterMilliseconds)
    }

    /// Whether admission goes by the saturation detector of this file: it names one, or has flow control on, which goes by
    /// one in any case.
    var speaksOfSaturation: Bool { namesSaturationDetector || flowControl != nil }
}
