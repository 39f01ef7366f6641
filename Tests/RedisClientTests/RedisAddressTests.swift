import Testing

@testable import RedisClient

@Suite struct RedisAddressTests {
    @Test func readsAllParts() throws {
        let address = try RedisAddress("rediss://worker:p%40ss%2Fw@redis.example:6380/3")
        #expect(address.host == "redis.example")
        #expect(address.port == 6_380)
        #expect(address.usesTLS)
        #expect(address.user == "worker")
        #expect(address.password == "p@ss/w")
        #expect(address.database == 3)
    }

    @Test func whatIsNotSaidHasADefault() throws {
        #expect(try RedisAddress("redis://localhost") == RedisAddress(host: "localhost"))
        #expect(try RedisAddress("REDIS://[::1]/").host == "::1")
        #expect(try RedisAddress("redis://[::1]:7000").port == 7_000)
        let passwordOnly = try RedisAddress("redis://:secret@localhost")
        #expect(passwordOnly.user == nil)
        #expect(passwordOnly.password == "secret")
    }

    @Test func aPasswordMayHoldTheSignsOfAURL() throws {
        #expect(try RedisAddress("redis://u:a:b@c/d@host:1").password == "a:b@c/d")
    }

    @Test func noPrintedFormShowsThePassword() throws {
        let address = try RedisAddress("redis://user:hunter2@host:1/2")
        var dumped = ""
        dump(RedisClient.Configuration(address: address), to: &dumped)
        for text in [
            "\(address)", String(reflecting: address), dumped, "\(RedisClient.Configuration(address: address))",
        ] {
            #expect(!text.contains("hunter2"))
            #expect(text.contains("redis://user@host:1/2"))
        }
    }

    @Test(arguments: [
        ("localhost:6379", RedisAddressError.noScheme), ("http://localhost", .unknownScheme),
        ("redis://", .invalidHost), ("redis://a:b:c", .invalidHost), ("redis://[::1", .invalidHost),
        ("redis://host:0", .invalidPort), ("redis://host:x", .invalidPort), ("redis://host/-1", .invalidDatabase),
        ("redis://host/one", .invalidDatabase), ("redis://user@host", .noPassword),
        ("redis://host?db=1", .unexpectedQuery), ("redis://a:%4@host", .invalidPercentEncoding),
    ])
    func saysWhatIsWrong(url: String, error: RedisAddressError) {
        #expect(throws: error) { try RedisAddress(url) }
    }
}
