/// A failure that a command reports to its user in one sentence.
struct CommandFailure: Error {
    /// The sentence, without the program's name.
    let message: String
    /// 1 for a failure, 2 for bad usage or bad configuration.
    let exitCode: Int32

    /// The command could not do what it was asked to.
    static func failed(_ message: String) -> CommandFailure { CommandFailure(message: message, exitCode: 1) }

    /// The command was asked for something that makes no sense.
    static func usage(_ message: String) -> CommandFailure { CommandFailure(message: message, exitCode: 2) }
}
