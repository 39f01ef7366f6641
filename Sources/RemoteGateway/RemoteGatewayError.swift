/// Why a remote gateway cannot be worked with as configured, in a sentence for the operator.
public enum RemoteGatewayError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The gateway's URL is not one.
    case badURL(String)
    /// A file of the TLS settings cannot be used.
    case badTLSFile(setting: String, path: String, reason: String)
    /// A client certificate without its key, or the other way round.
    case incompleteClientCertificate
    /// A configured header, or the name or value that one is made of, is not legal.
    case badHeader(name: String)
    /// A transform's configuration is wrong.
    case badTransform(name: String, reason: String)

    /// The sentence.
    public var description: String {
        switch self {
        case .badURL(let detail): "The gateway's URL cannot be used: \(detail)."
        case .badTLSFile(let setting, let path, let reason):
            "The file \(path), named as \(setting), cannot be used: \(reason)."
        case .incompleteClientCertificate:
            "A client certificate needs its private key, and a key its certificate: name both files or none."
        case .badHeader(let name):
            "The header \(name) cannot be sent: its name or its value has characters that headers must not have, or it is one "
                + "that Weir sets itself."
        case .badTransform(let name, let reason): "The request transform \(name) cannot be used: \(reason)."
        }
    }
}
