/// What is said on a new connection before it is used: the protocol version, who we are, which database. Pure.
struct RedisHandshake {
    /// Why a connection cannot be used.
    enum Failure: Hashable {
        /// The server does not let us in; trying again will help only once somebody changes something.
        case refused(String)
        /// The server cannot do what the connection is for.
        case unsupported(String)
        /// The server is starting up.
        case busy(String)

        var reason: String {
            switch self {
            case .refused(let reason), .unsupported(let reason), .busy(let reason): reason
            }
        }
    }

    enum Step: Hashable {
        /// Send these; the handshake wants a reply to each.
        case send([RedisCommand])
        /// Wait for further replies.
        case wait
        /// The connection can be used.
        case done(protocolVersion: Int)
        case failed(Failure)
    }

    private enum Question: Hashable { case hello, authentication, database, name, tracking, ready }

    private let address: RedisAddress
    private let clientName: String?
    /// The prefixes to track, on a connection that is for tracking.
    private let trackedPrefixes: [String]?
    private var questions: [Question] = []
    private var protocolVersion = 3

    init(address: RedisAddress, clientName: String?, trackedPrefixes: [String]?) {
        self.address = address
        // The server allows printable characters other than the space.
        self.clientName = clientName.map { name in
            String(decoding: name.utf8.map { (33...126).contains($0) ? $0 : UInt8(ascii: "-") }, as: UTF8.self)
        }
        self.trackedPrefixes = trackedPrefixes
    }

    private var user: String { address.user ?? "default" }

    mutating func begin() -> Step {
        questions = [.hello]
        var arguments: [RedisArgument] = ["3"]
        if let password = address.password { arguments += ["AUTH", .text(user), .text(password)] }
        return .send([RedisCommand("HELLO", arguments)])
    }

    /// Takes the reply to the oldest open question.
    mutating func receive(_ reply: RESPValue) -> Step {
        guard !questions.isEmpty else { return .failed(.refused("it answered what was not asked")) }
        let error: RedisServerError? = if case .error(let error) = reply { error } else { nil }
        switch questions.removeFirst() {
        case .hello:
            guard let error else { return prepare() }
            return helloFailed(error)
        case .authentication:
            guard let error else { return prepare() }
            return .failed(.refused(authenticationText(error)))
        case .database:
            if let error { return .failed(.refused("database \(address.database) cannot be used: \(error)")) }
        // A connection without a name works as well; the user may lack the right to set one.
        case .name: break
        case .tracking:
            if let error { return .failed(.unsupported("the server refuses to track keys: \(error)")) }
        case .ready:
            // All other answers, a lack of the right to PING included, come from a server that works.
            if let error, ["LOADING", "BUSY", "MASTERDOWN"].contains(error.code) {
                return .failed(.busy("the server is not ready: \(error)"))
            }
            if let error, error.code == "NOAUTH" { return .failed(.refused(authenticationText(error))) }
            return .done(protocolVersion: protocolVersion)
        }
        return .wait
    }

    /// Servers before Redis 6 do not know `HELLO`. They quote the arguments, the password among them: no text of an
    /// error that answers a login may go anywhere.
    private mutating func helloFailed(_ error: RedisServerError) -> Step {
        guard ["ERR", "NOPROTO", "NOPERM"].contains(error.code) else {
            return error.code == "LOADING"
                ? .failed(.busy("the server is loading its data")) : .failed(.refused(authenticationText(error)))
        }
        protocolVersion = 2
        guard let password = address.password else { return prepare() }
        questions = [.authentication]
        let name: [RedisArgument] = address.user.map { [.text($0)] } ?? []
        return .send([RedisCommand("AUTH", name + [.text(password)])])
    }

    private func authenticationText(_ error: RedisServerError) -> String {
        switch error.code {
        case "WRONGPASS": "the password of user \(user) is wrong, or there is no such user, or it is disabled"
        case "NOAUTH": "the server asks for a password and none is configured"
        case "DENIED": "the server runs in protected mode and accepts no connections from other machines"
        default: "the server does not accept the login of user \(user) (\(error.code))"
        }
    }

    /// After the login: everything else at once.
    private mutating func prepare() -> Step {
        var commands: [RedisCommand] = []
        if address.database != 0 {
            questions.append(.database)
            commands.append(RedisCommand("SELECT", [.integer(Int64(address.database))]))
        }
        if let clientName, !clientName.isEmpty {
            questions.append(.name)
            commands.append(RedisCommand("CLIENT", ["SETNAME", .text(clientName)]))
        }
        if let trackedPrefixes {
            guard protocolVersion == 3 else {
                return .failed(.unsupported("the server does not speak RESP3, which tracking of keys needs"))
            }
            questions.append(.tracking)
            let prefixes = trackedPrefixes.flatMap { ["PREFIX", .text($0)] as [RedisArgument] }
            commands.append(RedisCommand("CLIENT", ["TRACKING", "ON", "BCAST"] + prefixes))
        }
        questions.append(.ready)
        commands.append(RedisCommand("PING"))
        return .send(commands)
    }
}
