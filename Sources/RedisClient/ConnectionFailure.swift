import NIOCore
import NIOPosix
import NIOSSL

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension RedisConnection.End {
    /// Puts what went wrong into words. Certificates that do not match will not do so a moment later either: whoever waits
    /// is told at once.
    init(_ error: any Error) {
        let reason = connectionFailureText(error)
        self.init(reason: reason, failure: isCertificateFailure(error) ? .refused(reason) : nil)
    }
}

private func isCertificateFailure(_ error: any Error) -> Bool {
    if error is TLSSettingsError || error is NIOSSLExtraError { return true }
    let text = error is NIOSSLError || error is BoringSSLError ? "\(error)" : ""
    return text.contains("CERTIFICATE_VERIFY_FAILED") || text.contains("CERTIFICATE_REQUIRED")
}

/// What went wrong with a connection, in words for the operator.
private func connectionFailureText(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
        guard let first = error.connectionErrors.first else {
            return "the host \(error.host) has no address"
        }
        return connectionFailureText(first.error)
    case ChannelError.connectTimeout:
        return "no connection came about in time"
    case let error as IOError:
        return "the connection failed: \(String(cString: strerror(error.errnoCode)))"
    case let error as TLSSettingsError:
        return error.description
    case let error as NIOSSLExtraError where error == .failedToValidateHostname:
        return "the server's certificate is for another host"
    case is NIOSSLError, is BoringSSLError:
        let text = "\(error)"
        if text.contains("CERTIFICATE_VERIFY_FAILED") {
            return "the server's certificate is not signed by a trusted authority, or has expired"
        }
        if text.contains("CERTIFICATE_REQUIRED") {
            return "the server asks for a client certificate and none is configured"
        }
        return "TLS failed: \(text)"
    default:
        return "\(error)"
    }
}
