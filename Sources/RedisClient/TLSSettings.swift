import NIOCore
import NIOSSL

/// What is wrong with the TLS files.
struct TLSSettingsError: Error, CustomStringConvertible {
    let description: String
}

extension RedisClient.TLS {
    /// Reads the files and makes the settings of a connection. Blocks on the file system.
    func makeContext() throws -> NIOSSLContext {
        var settings = TLSConfiguration.makeClientConfiguration()
        if let authorityFile {
            settings.trustRoots = .certificates(
                try reading(authorityFile, "certificates of the authority") {
                    try NIOSSLCertificate.fromPEMFile(authorityFile)
                })
        }
        switch (certificateFile, keyFile) {
        case (let certificateFile?, let keyFile?):
            settings.certificateChain = try reading(certificateFile, "the client's certificate") {
                try NIOSSLCertificate.fromPEMFile(certificateFile).map { .certificate($0) }
            }
            settings.privateKey = .privateKey(
                try reading(keyFile, "the client's private key") {
                    try NIOSSLPrivateKey(file: keyFile, format: .pem)
                })
        case (nil, nil): break
        default: throw TLSSettingsError(description: "a client certificate needs both a certificate and a key file")
        }
        if insecureSkipVerify { settings.certificateVerification = .none }
        return try NIOSSLContext(configuration: settings)
    }

    /// Names the file, not what is in it.
    private func reading<Content>(_ file: String, _ what: String, _ read: () throws -> Content) throws -> Content {
        do {
            return try read()
        } catch {
            throw TLSSettingsError(description: "\(file) cannot be read as PEM with \(what)")
        }
    }

    /// The handler for one connection to `host`. A name is sent to the server (SNI); an IP address must not be.
    func makeHandler(_ context: NIOSSLContext, host: String) throws -> NIOSSLClientHandler {
        let name = serverName ?? host
        let isAddress = (try? SocketAddress(ipAddress: name, port: 0)) != nil
        return try NIOSSLClientHandler(context: context, serverHostname: isAddress ? nil : name)
    }
}
