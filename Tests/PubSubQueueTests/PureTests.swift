import Basics
import Delivery
import MessageQueues
import Testing

@testable import PubSubQueue

struct BatchPlanTests {
    private static let limits = BatchPlan.Limits(items: 3, bytes: 100, calls: 2, linger: .milliseconds(5))

    @Test func oneItemAloneGoesAtOnceAndTheNextWaitForAMomentOrUntilTheCallReturns() {
        var plan = BatchPlan(limits: Self.limits)
        let now = Instant(seconds: 1)
        #expect(plan.next(now: now) == nil)
        plan.add(bytes: 10, now: now)
        #expect(plan.next(now: now) == 1)
        plan.add(bytes: 10, now: now)
        plan.add(bytes: 10, now: now + .milliseconds(1))
        #expect(plan.next(now: now + .milliseconds(4)) == nil)
        #expect(plan.wake == now + .milliseconds(5))
        #expect(plan.next(now: now + .milliseconds(5)) == 2)
        plan.add(bytes: 10, now: now + .milliseconds(6))
        #expect(plan.wake == nil)
        #expect(plan.next(now: now + .seconds(1)) == nil)
        plan.finished()
        plan.finished()
        #expect(plan.next(now: now + .milliseconds(6)) == 1)
    }

    @Test(arguments: [
        ([10, 10, 10, 10], [3, 1]), ([60, 50, 10], [1, 2]), ([500, 10], [1, 1]), ([40, 60, 1], [2, 1]),
    ])
    func callsAreFilledUpToItemsAndBytesAndALargerItemGoesAlone(_ sizes: [Int], _ calls: [Int]) {
        var plan = BatchPlan(limits: Self.limits)
        for size in sizes { plan.add(bytes: size, now: .zero) }
        var found: [Int] = []
        while let count = plan.next(now: Instant(seconds: 1)) {
            found.append(count)
            plan.finished()
        }
        #expect(found == calls)
        #expect(plan.count == 0)
    }
}

struct BatcherTests {
    @Test func everyCallerGetsItsOwnAnswerAndOneBadItemFailsAlone() async throws {
        let batcher = Batcher<Int, Int>(
            limits: BatchPlan.Limits(items: 50, bytes: 1000, calls: 3, linger: .milliseconds(2)), clock: SystemClock()
        ) { items in
            let outcomes: [Result<Int, PubSubError>] = await bisecting(
                items[...], isToBeSplit: { error, _ in error.kind == .invalid }
            ) { part in
                part.contains(77)
                    ? .failure(PubSubError(.invalid, place: "t", detail: "77")) : .success(part.map { $0 * 2 })
            }
            return outcomes.map { $0.mapError { $0 as any Error } }
        }
        await withTaskGroup(of: (Int, Int?).self) { group in
            for item in 0..<500 { group.addTask { (item, try? await batcher.submit(item, bytes: 30)) } }
            for await (item, answer) in group { #expect(answer == (item == 77 ? nil : item * 2)) }
        }
    }
}

struct AcknowledgementTests {
    private static func error(_ kind: PubSubError.Kind, _ ids: [String: String] = [:]) -> PubSubError {
        PubSubError(kind, place: "s", detail: "d", acknowledgements: ids)
    }

    @Test func anErrorThatNamesIDsIsAboutThoseOnly() {
        let error = Self.error(
            .failedPrecondition,
            ["a": "PERMANENT_FAILURE_INVALID_ACK_ID", "b": "TRANSIENT_FAILURE_UNORDERED_ACK_ID"])
        #expect(Acknowledgement(of: "a", error: error) == .lost)
        #expect(Acknowledgement(of: "b", error: error) == .failed)
        #expect(Acknowledgement(of: "c", error: error) == .confirmed)
        #expect(!Acknowledgement.needsSplit(error, count: 3))
    }

    @Test(arguments: [
        (PubSubError.Kind.unavailable, Acknowledgement.failed), (.timedOut, .failed), (.permissionDenied, .failed),
        (.unauthenticated, .failed), (.other, .failed), (.invalid, .lost), (.notFound, .lost),
        (.failedPrecondition, .lost),
    ])
    func anErrorWithoutIDsIsAboutTheWholeCall(_ kind: PubSubError.Kind, _ expected: Acknowledgement) {
        #expect(Acknowledgement(of: "a", error: Self.error(kind)) == expected)
        #expect(Acknowledgement(of: "a", error: nil) == .confirmed)
        #expect(
            Acknowledgement.needsSplit(Self.error(kind), count: 2) == (kind == .invalid || kind == .failedPrecondition))
        #expect(!Acknowledgement.needsSplit(Self.error(kind), count: 1))
    }
}

struct ReceivedMessageTests {
    private func read(
        _ body: String, _ attributes: [String: String] = [:], attempt: Int = 0
    ) throws -> ReceivedMessage {
        try ReceivedMessage(
            data: Array(body.utf8), attributes: attributes, messageID: "17", orderingKey: "",
            published: Instant(seconds: 5000), deliveryAttempt: attempt,
            defaults: MessageDefaults(now: .zero, completionWindow: .seconds(60), path: "/v1/completions"),
            labels: ["queue": "q"])
    }

    @Test func whatIsMissingIsFilledInFromTheBroker() throws {
        let received = try read(" {\"payload\":{\"model\":\"m\"}}")
        #expect(received.message.id == "17")
        #expect(received.generation == "17")
        #expect(received.message.created == Instant(seconds: 5000))
        #expect(received.message.deadline == Instant(seconds: 5060))
        #expect(received.message.path == "/v1/completions")
        #expect(received.message.payload == Array("{\"model\":\"m\"}".utf8))
        #expect(received.message.labels == ["queue": "q"])
    }

    @Test func attributesWinOverMetadata() throws {
        let received = try read(
            "{\"id\":\"a\",\"payload\":{},\"metadata\":{\"k\":\"body\",\"l\":\"body\"}}", ["k": "attribute"])
        #expect(received.message.id == "a")
        #expect(received.message.metadata == ["k": "attribute", "l": "body"])
    }

    @Test(arguments: [("token", "token"), ("", "17"), (String(repeating: "x", count: 257), "17")])
    func theProducersTokenIsTheGenerationIfItFits(_ token: String, _ expected: String) throws {
        #expect(try read("{\"id\":\"a\",\"payload\":{}}", ["request_token": token]).generation == expected)
    }

    @Test(arguments: [(0, 0), (1, 0), (4, 3), (-1, 0)])
    func earlierDeliveriesMayHaveBeenAttemptsButNotFailures(_ attempt: Int, _ expected: Int) throws {
        let attempts = try read("{\"id\":\"a\",\"payload\":{}}", attempt: attempt).attempts
        #expect(attempts.dispatches == expected)
        #expect(attempts.failures == 0)
    }

    @Test(arguments: [
        "", "[]", "{", "{}", "{\"id\":5,\"payload\":{}}", "{\"id\":\"\",\"payload\":{}}", "{\"id\":\"a\"}",
    ])
    func whatIsNoMessageIsRefused(_ body: String) {
        #expect(throws: MessageFormatError.self) { try read(body) }
    }
}

struct ResultPublicationTests {
    private static func result(payload: [UInt8] = [], metadata: [String: String] = [:]) -> InferenceResult {
        let message = InferenceMessage(
            id: "a", created: .zero, deadline: .distantFuture, path: "/", payload: [], metadata: metadata)
        let leased = LeasedMessage(
            lease: Lease(sequence: 1, token: 1), message: message, attempts: AttemptRecord(), generation: "g",
            enqueued: .zero)
        var result = InferenceResult(for: leased, queue: "q", attempts: AttemptRecord(), finished: .zero)
        result.statusCode = 200
        result.payload = payload
        return result
    }

    @Test func attributesNameTheRequestAndTheRoute() {
        let publication = ResultPublication(Self.result(metadata: ["result_route": "r", "other": "o"]))
        #expect(
            publication.attributes == [
                "id": "a", "generation": "g", "result_key": "a/g", "status": "200", "result_route": "r",
            ])
    }

    @Test func anAnswerThatPubSubCannotCarryBecomesAnErrorInsteadOfAPublishThatNeverEnds() {
        let publication = ResultPublication(Self.result(payload: Array(repeating: 0x61, count: 10_000_000)))
        #expect(publication.data.count < 1000)
        #expect(publication.attributes["status"] == "INFERENCE_ERROR")
    }

    @Test func deadLettersKeepWhatFitsOfTheirAttributes() {
        let many = Dictionary(uniqueKeysWithValues: (0..<100).map { ("k\($0)", "v") })
        let letter = DeadLetter(
            data: [1], attributes: many, messageID: "1", subscription: "s", reason: String(repeating: "ä", count: 2000))
        // A place is left for the size of data that does not fit.
        #expect(letter.attributes.count == 99)
        #expect(letter.attributes[DeadLetter.reasonAttribute]?.utf8.count == 1024)
        #expect(letter.attributes[DeadLetter.messageAttribute] == "1")
        #expect(letter.data == [1])
        #expect(letter.attributes[DeadLetter.bytesAttribute] == nil)
    }

    @Test func aDeadLetterThatOurAttributesMakeTooLargeIsCutToWhatPubSubTakes() {
        let letter = DeadLetter(
            data: Array(repeating: 0x61, count: 9_899_990), attributes: ["k": "v"], messageID: "1",
            subscription: "s", reason: "no JSON")
        let attributes = letter.attributes.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count }
        #expect(letter.data.count + attributes == ResultPublication.maximumDataBytes)
        #expect(letter.attributes[DeadLetter.bytesAttribute] == "9899990")
    }
}

struct PaceTests {
    @Test func readingPausesWhenThereIsEnoughButNeverForLong() {
        var pace = ReadingPace(longestPause: .seconds(20))
        var now = Instant(seconds: 1)
        #expect(pace.pause(.wanting, hasWaited: true, now: now) == nil)
        #expect(pace.pause(.sated, hasWaited: true, now: now) == .seconds(20))
        now = now + .seconds(20)
        pace.resumed(.sated, now: now)
        #expect(pace.pause(.sated, hasWaited: true, now: now + .milliseconds(99)) == nil)
        #expect(pace.pause(.full, hasWaited: true, now: now + .milliseconds(99)) == .seconds(20))
        pace.resumed(.sated, now: now)
        #expect(pace.pause(.sated, hasWaited: false, now: now + .seconds(5)) == nil)
        #expect(pace.pause(.sated, hasWaited: true, now: now + .milliseconds(101)) == .seconds(20))
        pace.resumed(.wanting, now: now)
        #expect(pace.pause(.sated, hasWaited: true, now: now) == .seconds(20))
        pace.resumed(.full, now: now)
        #expect(pace.pause(.full, hasWaited: true, now: now) == .seconds(20))
    }

    @Test func whatIsThereAtOnceMayBeAsOldAsTheLastWait() {
        var arrivals = ArrivalEstimate()
        let start = Instant(seconds: 100)
        #expect(arrivals.read(now: start) == start)
        arrivals.resumed(now: start + .seconds(20))
        #expect(arrivals.read(now: start + .seconds(20) + .milliseconds(1)) == start)
        arrivals.resumed(now: start + .seconds(40))
        #expect(arrivals.read(now: start + .seconds(40)) == start)
        arrivals.resumed(now: start + .seconds(41))
        #expect(arrivals.read(now: start + .seconds(42)) == start + .seconds(42))
        arrivals.resumed(now: start + .seconds(50))
        arrivals.reset()
        #expect(arrivals.read(now: start + .seconds(50)) == start + .seconds(50))
    }

    @Test func reopeningWaitsLongerEachTimeUpToABound() {
        var pause = ReopeningPause()
        let pauses = (0..<10).map { _ in pause.take(jitter: 1).milliseconds }
        #expect(pauses == [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000])
        pause.reset()
        #expect(pause.take(jitter: 0) == .milliseconds(75))
    }
}

struct NameTests {
    @Test(arguments: [
        ("127.0.0.1:8085", "127.0.0.1", 8085, true), ("http://localhost:1", "localhost", 1, false),
        ("https://pubsub.example.com", "pubsub.example.com", 443, true), ("[::1]:80", "::1", 80, true),
        ("http://h/", "h", 80, false),
    ])
    func endpointsAreRead(_ text: String, _ host: String, _ port: Int, _ usesTLS: Bool) throws {
        #expect(try PubSubEndpoint(text) == PubSubEndpoint(host: host, port: port, usesTLS: usesTLS))
    }

    @Test(arguments: ["", ":1", "h:0", "h:70000", "a b:1", "user@h:1"])
    func othersAreRefused(_ text: String) {
        #expect(throws: PubSubError.self) { try PubSubEndpoint(text) }
    }

    @Test func theEmulatorsVariableNamesAnEndpointInTheClear() throws {
        #expect(try PubSubEndpoint.emulator(environment: [:]) == nil)
        let found = try PubSubEndpoint.emulator(environment: ["PUBSUB_EMULATOR_HOST": "localhost:8085"])
        #expect(found == PubSubEndpoint(host: "localhost", port: 8085, usesTLS: false))
    }

    @Test func namesAreMadeWholeOrRefused() throws {
        #expect(try ResourceName.topic("abc", project: "p") == "projects/p/topics/abc")
        #expect(try ResourceName.topic("projects/q/topics/abc", project: "p") == "projects/q/topics/abc")
        for name in ["t", "googx", "1abc", "a/b", "projects/q/subscriptions/abc", "a b c"] {
            #expect(throws: PubSubError.self) { try ResourceName.topic(name, project: "p") }
        }
        #expect(throws: PubSubError.self) { try ResourceName.topic("abc", project: "") }
    }
}
