import Testing

@testable import Webhooks

@Suite struct WebhookURLTests {
    private let list = WebhookAllowList([
        .init(isSecure: true, host: "hooks.example.com", port: 443, path: "/weir/"),
        .init(isSecure: true, host: "a.example.com", port: 8443, path: "/x"),
        .init(isSecure: false, host: "::1", port: 80, path: "/"),
    ])

    @Test(arguments: [
        ("https://hooks.example.com/weir/", "https://hooks.example.com:443/weir/"),
        ("https://hooks.example.com:443/weir/a/b?c=d&e=%20", "https://hooks.example.com:443/weir/a/b?c=d&e=%20"),
        ("HTTPS://Hooks.Example.COM/weir/A", "https://hooks.example.com:443/weir/A"),
        ("https://a.example.com:8443/x", "https://a.example.com:8443/x"),
        ("https://a.example.com:8443/x/y", "https://a.example.com:8443/x/y"),
        ("https://a.example.com:8443/x?y", "https://a.example.com:8443/x?y"),
        ("http://[::1]", "http://[::1]:80/"),
        ("http://[::1]:80/a..b/...", "http://[::1]:80/a..b/..."),
    ])
    func whatAPrefixCoversIsAllowed(text: String, url: String) throws {
        #expect(try list.permit(text).description == url)
    }

    @Test(arguments: [
        // Another scheme, host, port or path.
        "http://hooks.example.com/weir/", "http://hooks.example.com:443/weir/", "https://hooks.example.com:8443/weir/",
        "https://evil.example.com/weir/", "https://hooks.example.com.evil.com/weir/", "https://example.com/weir/",
        "https://hooks.example.com./weir/", "https://hooks.example.com/", "https://hooks.example.com/weir",
        "https://hooks.example.com/weirder/", "https://hooks.example.com/WEIR/", "https://a.example.com:8443/xy",
        "https://a.example.com/x", "http://[::2]/", "http://[0:0:0:0:0:0:0:1]/", "http://127.0.0.1/",
        "https://hooks.example.com/%77eir/",
        // A host that is not what it looks like.
        "https://hooks.example.com@evil.com/weir/", "https://hooks.example.com:x@evil.com/weir/",
        "https://evil.com/@hooks.example.com/weir/", "https://evil.com?@hooks.example.com/weir/",
        "https://evil.com#@hooks.example.com/weir/", "https://evil.com\\@hooks.example.com/weir/",
        "https://hooks.example.com\\.evil.com/weir/", "https://hooks.example.com%2eevil.com/weir/",
        "https://hooks.example.com%00.evil.com/weir/", "https://hooks.example.com:443:443/weir/",
        "https://hooks.example.com :443/weir/", "https://hoοks.example.com/weir/",
        "https://[::1]hooks.example.com/weir/", "http://[::1%25eth0]/", "http://[::1]:80:80/", "http://::1/",
        "http://[::1/", "http://[]/", "http://[hooks.example.com]/",
        // A path that leads somewhere else.
        "https://hooks.example.com/weir/../admin", "https://hooks.example.com/weir/%2e%2e/admin",
        "https://hooks.example.com/weir/.%2E/admin", "https://hooks.example.com/weir/..;/admin",
        "https://hooks.example.com/weir/./x", "https://hooks.example.com/weir/..%2fadmin",
        "https://hooks.example.com/weir/..%5cadmin", "https://hooks.example.com/weir/..\\admin",
        "https://hooks.example.com/weir/%252e%252e/admin", "https://hooks.example.com/weir/..",
        // A path that other parsers drop or rewrite.
        "https://hooks.example.com/weir/%ff", "https://hooks.example.com/weir/%C3?k=v",
        "https://hooks.example.com/weir/%ed%a0%80", "https://hooks.example.com/weir/[x]",
        "https://hooks.example.com/weir/x]",
        // No URL that could be posted to.
        "", "/weir/", "//hooks.example.com/weir/", "hooks.example.com/weir/", "https:hooks.example.com/weir/",
        "https:/hooks.example.com/weir/", "https:///weir/", "https://", "ftp://hooks.example.com/weir/",
        "javascript:alert(1)", "file:///weir/", "unix://hooks.example.com/weir/", " https://hooks.example.com/weir/",
        "https://hooks.example.com/weir/\n", "https://hooks.example.com/weir/\r\nx: y",
        "https://hooks.example.com/weir/ x",
        "https://hooks.example.com/weir/#x", "https://hooks.example.com/weir/%zz", "https://hooks.example.com/weir/%2",
        "https://hooks.example.com:0/weir/", "https://hooks.example.com:/weir/", "https://hooks.example.com:+443/weir/",
        "https://hooks.example.com:65979/weir/", "https://hooks.example.com:000443/weir/", "https://a b/",
    ])
    func whatIsNotCoveredOrCouldMeanTwoThingsIsRefused(text: String) {
        #expect(throws: WebhookRefusal.self) { try list.permit(text) }
    }

    @Test(arguments: [
        "https://hooks.example.com/weir/", "https://hooks.example.com/weir/a/b?c=d&e=%20&f=[x]%ff",
        "https://a.example.com:8443/x//y", "https://a.example.com:8443/x/%C3%A4%20b;c=d,e", "http://[::1]/a..b/...",
        "http://[::1]", "http://[::1]:80//", "https://hooks.example.com/weir/!$&'()*+,;=:@~-._",
    ])
    func whatIsAllowedIsReadAlikeByTheClient(text: String) throws {
        #expect(try list.permit(text).isReadAlikeByFoundation)
    }

    @Test func whateverPathIsReadIsReadAlikeByTheClient() throws {
        var generator = SystemRandomNumberGenerator()
        let parts = [
            "/", "//", "a", "é", ".", "..", ";", "%41", "%c3%a4", "%ff", "%c3", "%0a", "%7f", "[", "]", "@", ":", "~",
        ]
        var accepted = 0
        for _ in 0..<5000 {
            let path = (0..<6).map { _ in parts.randomElement(using: &generator) ?? "" }.joined()
            guard let url = try? WebhookURL("https://hooks.example.com/\(path)?k=v") else { continue }
            accepted += 1
            #expect(url.isReadAlikeByFoundation, "\(url)")
        }
        #expect(accepted > 100)
    }

    @Test func theLengthIsBounded() throws {
        let long = "https://hooks.example.com/weir/" + String(repeating: "a", count: WebhookURL.maximumBytes)
        #expect(throws: WebhookRefusal.self) { try list.permit(long) }
        #expect(throws: Never.self) { try list.permit(String(long.prefix(WebhookURL.maximumBytes))) }
    }

    @Test func anEmptyListRefusesEverything() {
        let refusal = #expect(throws: WebhookRefusal.self) {
            try WebhookAllowList([]).permit("https://hooks.example.com/weir/")
        }
        #expect(refusal?.description == "webhooks are not allowed here")
    }
}
