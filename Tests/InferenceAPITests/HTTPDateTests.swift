import Basics
import InferenceAPI
import Testing

@Suite struct HTTPDateTests {
    @Test(arguments: [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
        ("Sun Nov  6 08:49:37 1994", 784_111_777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
        ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
        ("Wed, 01 Mar 2028 00:00:00 GMT", 1_835_481_600),
        ("Mon, 01 Mar 2100 00:00:00 GMT", 4_107_542_400),
        ("Sat, 31 Dec 2016 23:59:60 GMT", 1_483_228_800),
        ("Friday, 01-Jan-70 00:00:00 GMT", 0),
        ("Wednesday, 01-Jan-69 00:00:00 GMT", 3_124_224_000),
        ("Sat Feb 29 00:00:00 2020", 1_582_934_400),
        (" Sun, 06 Nov 1994 08:49:37 GMT\t", 784_111_777),
    ])
    func theThreeFormsAreRead(text: String, seconds: Int64) {
        #expect(HTTPDate.parse(text) == Instant(nanoseconds: seconds * 1_000_000_000))
    }

    @Test(arguments: [
        "", "30", "soon", "Sun, 06 Nov 1994 08:49:37", "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun 06 Nov 1994 08:49:37 GMT", "Sun, 6 Nov 1994 08:49:37 GMT", "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT", "Sun, 31 Nov 1994 08:49:37 GMT", "Wed, 29 Feb 2023 08:49:37 GMT",
        "Mon, 29 Feb 2100 08:49:37 GMT", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 06 Nov 1994 08:60:00 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT", "Sun, 06 Nov 1994 08:49 GMT", "Sun, 06 Nov 1994 -8:49:37 GMT",
        "Sun, 06 Nov 94 08:49:37 GMT", "Wed, 31 Dec 1969 23:59:59 GMT", "Fri, 31 Dec 9999 23:59:59 GMT",
        "Sunday, 06 Nov 1994 08:49:37 GMT", "Sun, 06-Nov-94 08:49:37 GMT", "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 006 08:49:37 1994", "Sun, 06 Nov 1994 08:49:37 GMT or a bit later, as things go in such cases.",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
    ])
    func anythingElseIsRefused(text: String) {
        #expect(HTTPDate.parse(text) == nil)
    }

    @Test func everyDayUntilTheTimeLineEndsIsOneLaterThanTheOneBefore() {
        let names = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        var days: Int64 = 0
        for year in 1970..<2262 {
            let isLeap = year % 4 == 0 && year % 100 != 0 || year % 400 == 0
            for (month, length) in [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31].enumerated() {
                for day in 1...length {
                    defer { days += 1 }
                    // The first and the last of each month; all of them would take seconds.
                    guard day == 1 || day == length else { continue }
                    let text = "Mon, \(day < 10 ? "0" : "")\(day) \(names[month]) \(year) 00:00:00 GMT"
                    #expect(HTTPDate.parse(text) == Instant(nanoseconds: days * 86_400_000_000_000))
                }
            }
        }
    }
}
