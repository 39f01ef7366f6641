import Basics
import Delivery
import InferenceAPI

/// A model server as it is, which is not always what the gateway believes.
struct EndpointTruth {
    let name: String
    var isUp = true
}

/// What an endpoint is going to do with a request.
enum Plan: Hashable {
    case answer(status: Int, retryAfter: TimeSpan? = nil, dropReason: String? = nil, after: TimeSpan)
    case connectFails(after: TimeSpan)
    case breaks(after: TimeSpan)
    case tooLong(after: TimeSpan)
    case timesOut(after: TimeSpan)
    case hangs

    var duration: TimeSpan {
        switch self {
        case .answer(_, _, _, let after), .connectFails(let after), .breaks(let after), .tooLong(let after),
            .timesOut(let after):
            after
        case .hangs: .zero
        }
    }
}

/// How a target's requests fare for a while.
struct Weather {
    /// The share that does not end well.
    var share = 0.0
    /// How those end that do not.
    var kinds: [Trouble] = []

    /// Ways not to end well.
    enum Trouble: CaseIterable {
        case serverError, overloaded, askedToWait, conflict, refused, noEndpoints, shuttingDown, dropped, connectFails,
            breaks, hangs, timesOut, tooLong, slow
    }
}

extension World {
    /// For some targets the weather changes; a while later it will again.
    func changeWeather() {
        guard !isCalm else { return }
        isPeak = profile.realtimeRate > 0 && generator.chance(0.4)
        for target in 0..<profile.targets {
            var weather = Weather()
            if generator.chance(0.6) {
                weather.share = generator.chance(0.3) ? 1 : profile.badWeather * generator.unit()
                let count = generator.number(1...4)
                weather.kinds = (0..<count).compactMap { _ in generator.pick(Weather.Trouble.allCases) }
            }
            if profile.badWeather == 0 { weather.share = 0 }
            self.weather["model-\(target)"] = weather
        }
        log.line(now) { "weather: \(self.weather.sorted { $0.key < $1.key }), peak \(self.isPeak)" }
        put(.changeWeather, after: generator.seconds(1, 20))
    }

    func plan(for request: GatewayRequest, on endpoint: Int) -> Plan {
        guard endpoints[endpoint].isUp else { return .connectFails(after: generator.latency(.milliseconds(2))) }
        let after = profile.serviceTime * (0.2 + 1.3 * generator.unit())
        guard let leased = request.leased, let weather = weather[leased.message.target],
            generator.chance(weather.share), let kind = generator.pick(weather.kinds)
        else {
            let isRefused = request.leased != nil && profile.badWeather > 0 && generator.chance(0.03)
            return .answer(status: isRefused ? generator.one(of: 400, 404, 422) : 200, after: after)
        }
        let soon = generator.latency(.milliseconds(20))
        switch kind {
        case .serverError: return .answer(status: generator.one(of: 500, 502, 503, 504), after: after)
        case .overloaded: return .answer(status: 429, after: soon)
        case .askedToWait:
            return .answer(
                status: generator.one(of: 429, 503, 500), retryAfter: .seconds(generator.one(of: 0, 1, 5, 40)),
                after: soon)
        case .conflict: return .answer(status: generator.one(of: 408, 409, 425), after: soon)
        case .refused: return .answer(status: generator.one(of: 400, 401, 404, 413, 422), after: soon)
        case .noEndpoints: return dropped(.noEndpoints, after: soon)
        case .shuttingDown: return dropped(.shuttingDown, after: soon)
        case .dropped: return dropped(generator.one(of: .saturated, .ttlExpired, .evicted), after: soon)
        case .connectFails: return .connectFails(after: soon)
        case .breaks: return .breaks(after: after * generator.unit())
        case .hangs: return .hangs
        case .timesOut: return .timesOut(after: .seconds(15))
        case .tooLong: return .tooLong(after: after)
        case .slow: return .answer(status: 200, after: after * 10)
        }
    }

    private func dropped(_ reason: DropReason, after: TimeSpan) -> Plan {
        .answer(status: generator.one(of: 429, 503), dropReason: reason.rawValue, after: after)
    }
}
