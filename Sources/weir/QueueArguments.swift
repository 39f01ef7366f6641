public import ArgumentParser
public import Basics
public import MessageQueues
import WeirConfiguration

extension TimeSpan: ExpressibleByArgument {
    /// Reads a duration such as `90s`, `24h` or `7d`, as in the configuration.
    public init?(argument: String) {
        guard let span = DurationText.parse(argument) else { return nil }
        self = span
    }
}

extension RequestState: ExpressibleByArgument {}
