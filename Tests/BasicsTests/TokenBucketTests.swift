import Basics
import Testing

@Suite struct TokenBucketTests {
    @Test func startsFullAndRefillsUpToItsCapacity() {
        var bucket = TokenBucket(capacity: 100, refillPerSecond: 10, now: .zero)
        #expect(bucket.level(now: .zero) == 100)
        bucket.take(40, now: .zero)
        #expect(bucket.level(now: Instant(seconds: 1)) == 70)
        #expect(bucket.level(now: Instant(seconds: 60)) == 100)
    }

    @Test func aChargeLargerThanTheCapacityIsPaidOffBeforeTheNext() {
        var bucket = TokenBucket(capacity: 100, refillPerSecond: 50, now: .zero)
        bucket.take(300, now: .zero)
        #expect(bucket.level(now: .zero) == -200)
        let positive = bucket.timeOfPositiveLevel(now: .zero)
        #expect(positive.map { abs($0.seconds - 4) < 1e-6 } == true)
        #expect(bucket.level(now: Instant(seconds: 4.1)) > 0)
    }

    @Test func withoutRefillADebtIsNeverPaid() {
        var bucket = TokenBucket(capacity: 10, refillPerSecond: -5, now: .zero)
        bucket.take(20, now: .zero)
        #expect(bucket.timeOfPositiveLevel(now: .zero) == nil)
        #expect(bucket.level(now: Instant(seconds: 1000)) == -10)
    }

    @Test func aRefundNeverOverfills() {
        var bucket = TokenBucket(capacity: 10, refillPerSecond: 0, now: .zero)
        bucket.take(5, now: .zero)
        bucket.refund(50, now: .zero)
        #expect(bucket.level(now: .zero) == 10)
    }
}
