import Basics
import InferenceAPI
import Testing

@Suite struct HeaderDurationTests {
    @Test(arguments: [
        ("0", 0.0), ("30", 30), ("1.5", 1.5), ("0s", 0), ("250ms", 0.25), ("30s", 30), (" 2m ", 120), ("1h", 3600),
        ("1.5 s", 1.5),
    ])
    func secondsAndUnitsAreRead(text: String, seconds: Double) {
        #expect(TimeSpan(headerValue: text) == .seconds(seconds))
    }

    @Test(arguments: ["", "s", "-1", "1d", "1m30s", "nan", "inf", "1e9", "99999999999", "1.2.3", "١", "10 apples"])
    func anythingElseIsRefused(text: String) {
        #expect(TimeSpan(headerValue: text) == nil)
    }
}
