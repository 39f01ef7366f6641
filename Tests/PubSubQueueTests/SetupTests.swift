import Basics
import Testing

@testable import PubSubQueue

struct SetupTests {
    @Test func theRecommendedSetIsNamedAfterOneWordAndHasNoLooseEnds() throws {
        let setup = try PubSubSetup(project: "p", name: "chat")
        var known: Set<String> = []
        for step in setup.steps {
            if case .subscription(let settings) = step {
                #expect(known.contains(settings.topic))
                if let topic = settings.deadLetterTopic { #expect(known.contains(topic)) }
            }
            known.insert(step.name)
        }
        #expect(known.count == 6)
        #expect(known.contains("projects/p/subscriptions/chat-requests"))
    }

    @Test func differencesAreNamedWithBothValues() throws {
        var settings = SubscriptionSettings(name: "projects/p/subscriptions/s", topic: "projects/p/topics/t")
        settings.isExactlyOnce = true
        settings.retryPauses = .seconds(10)...(.seconds(600))
        #expect(settings.differences(from: settings.wire).isEmpty)
        var found = settings.wire
        found.ackDeadlineSeconds = 10
        found.enableExactlyOnceDelivery = false
        found.clearRetryPolicy()
        found.clearExpirationPolicy()
        found.filter = "attributes.a"
        let differences = settings.differences(from: found)
        #expect(
            differences.map(\.description) == [
                "filter is attributes.a, not empty", "ack_deadline_seconds is 10, not 60",
                "enable_exactly_once_delivery is false, not true", "expiration_policy is after 31 days, not never",
                "retry_policy is at once, not 10s to 600s",
            ])
        #expect(differences.map(\.canBeChanged) == [false, true, true, true, true])
    }

    @Test(
        .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
        .timeLimit(.minutes(1)))
    func applyingTwiceCreatesOnceAndReportsOrMendsDifferences() async throws {
        try await withWorld({ $0.ackDeadline = .seconds(20) }) { world in
            let again = try await world.setup.apply(world.connection)
            #expect(again.allSatisfy { $0.kind == .unchanged })
            var other = world.setup
            for index in other.steps.indices {
                guard case .subscription(var settings) = other.steps[index] else { continue }
                settings.ackDeadline = .seconds(60)
                other.steps[index] = .subscription(settings)
            }
            let difference = "\(world.requestSubscription): ack_deadline_seconds is 20, not 60"
            let reported = try await other.apply(world.connection).map(\.description)
            #expect(reported.filter { !$0.hasPrefix("exists") } == ["different " + difference])
            let advice = try await other.apply(world.connection).compactMap(\.advice)
            #expect(advice == ["--update changes \(world.requestSubscription)"])
            let mended = try await other.apply(world.connection, updatesExisting: true).map(\.description)
            #expect(mended.filter { !$0.hasPrefix("exists") } == ["updated   " + difference])
            #expect(try await other.apply(world.connection).allSatisfy { $0.kind == .unchanged })
        }
    }

    @Test(
        .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
        .timeLimit(.minutes(1)))
    func whatCannotBeChangedIsToldWithTheWaysOut() async throws {
        try await withWorld { world in
            var ordered = world.setup
            for index in ordered.steps.indices {
                guard case .subscription(var settings) = ordered.steps[index],
                    settings.name == world.requestSubscription
                else { continue }
                settings.isOrdered = true
                ordered.steps[index] = .subscription(settings)
            }
            let outcomes = try await ordered.apply(world.connection, updatesExisting: true)
            let fixed = outcomes.filter(\.cannotBeChanged)
            #expect(fixed.map(\.name) == [world.requestSubscription])
            let advice = try #require(fixed.first?.advice)
            #expect(advice.contains("enable_message_ordering"))
            #expect(advice.contains("another --name"))
            #expect(advice.contains("delete \(world.requestSubscription)"))
            #expect(outcomes.filter { !$0.cannotBeChanged }.allSatisfy { $0.advice == nil })
        }
    }

    @Test(
        .enabled(if: EmulatorInstallation.isPresent, Comment(rawValue: EmulatorInstallation.absence)),
        .timeLimit(.minutes(1)))
    func aSubscriptionThatDoesNotExistIsToldAtTheStart() async throws {
        try await withWorld { world in
            let error = await #expect(throws: PubSubError.self) {
                _ = try await world.queue { $0.subscription = "projects/weir-tests/subscriptions/nobody" }
            }
            #expect(error?.kind == .notFound)
            #expect(error?.description.contains("weir pubsub setup") == true)
        }
    }
}
