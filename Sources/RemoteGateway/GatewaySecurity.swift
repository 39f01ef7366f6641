import NIOSSL

/// How a gateway is spoken to over TLS. Versions before 1.2 are never used.
public struct GatewaySecurity: Hashable, Sendable {
    /// A PEM file with the certificates that are trusted, instead of the system's.
    public var authorityFile: String?
    /// A PEM file with the client's certificate, and those that sign it, for gateways that want to know who calls.
    public var certificateFile: String?
    /// The PEM file of the certificate's private key.
    public var keyFile: String?
    /// Whether any server is believed to be the gateway. For tests only: whoever is in between can read and answer all.
    public var skipsVerification: Bool

    /// Creates settings; the defaults trust what the system trusts, and show no certificate.
    public init(
        authorityFile: String? = nil, certificateFile: String? = nil, keyFile: String? = nil,
        skipsVerification: Bool = false
    ) {
        self.authorityFile = authorityFile
        self.certificateFile = certificateFile
        self.keyFile = keyFile
        self.skipsVerification = skipsVerification
    }

    /// Reads the files.
    func configuration() throws(RemoteGatewayError) -> TLSConfiguration {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.minimumTLSVersion = .tlsv12
        if skipsVerification { tls.certificateVerification = .none }
        if let authorityFile {
            let authorities = try Self.certificates("the certificate authority's file", authorityFile)
            tls.trustRoots = .certificates(authorities)
        }
        switch (certificateFile, keyFile) {
        case (nil, nil): break
        case (let certificateFile?, let keyFile?):
            tls.certificateChain = try Self.certificates("the client certificate", certificateFile)
                .map { .certificate($0) }
            do {
                tls.privateKey = .privateKey(try NIOSSLPrivateKey(file: keyFile, format: .pem))
            } catch {
                throw .badTLSFile(setting: "the client key", path: keyFile, reason: Self.reason(error))
            }
        case (nil, _?), (_?, nil): throw .incompleteClientCertificate
        }
        return tls
    }

    private static func certificates(_ setting: String, _ path: String) throws(RemoteGatewayError)
        -> [NIOSSLCertificate]
    {
        do {
            let certificates = try NIOSSLCertificate.fromPEMFile(path)
            guard !certificates.isEmpty else {
                throw RemoteGatewayError.badTLSFile(
                    setting: setting, path: path, reason: "it has no certificate in PEM")
            }
            return certificates
        } catch let error as RemoteGatewayError {
            throw error
        } catch {
            throw .badTLSFile(setting: setting, path: path, reason: reason(error))
        }
    }

    /// Errors of the TLS library never quote the file, only what kind of fault it is.
    private static func reason(_ error: any Error) -> String { String("\(error)".prefix(120)) }
}
