import Basics
import Harvest
import InferenceAPI
import NIOCore
import NIOHTTP1
import Pool
import PoolScheduler
import Routing
import Synchronization

/// Whom the scheduler's decisions are for. Called on its own event loop.
protocol SchedulerClient: AnyObject {
    /// The request may go to this endpoint; its load is reserved there.
    func placed(on endpoint: EndpointID)
    /// The request has been turned away or called back; the scheduler has forgotten it.
    func dismissed(_ failure: ExchangeFailure)
}

/// One pool's scheduler behind a lock, and the requests that wait for what it decides.
///
/// Events are fed under the lock; the actions are performed after it is released, each on the event loop of the request
/// that it concerns. Two threads may thus overtake one another with actions for the same request: a call-back can
/// arrive before the start that it undoes. Requests take a dismissal in any phase and ignore what comes after it.
final class PoolShell: Sendable {
    typealias Client = NIOLoopBound<any SchedulerClient>

    /// What an endpoint last reported about itself.
    struct Report {
        let metrics: ScrapedMetrics
        let engine: String
        let received: Instant
    }

    private struct State {
        var scheduler: PoolScheduler
        var reports: [Report?]
        var clients: [UInt64: Client] = [:]
    }

    private struct Delivery {
        let client: Client
        let action: SchedulerAction
    }

    let settings: GatewayPool
    /// The pool's place in the directory.
    let number: Int
    /// The endpoints as the sockets see them, in table order.
    let endpoints: [UpstreamEndpoint]
    /// The request headers that the routing policies read, in lower case.
    private let headersRead: [String]
    /// What the routing policy adds to the head of answers, by endpoint; empty if it adds nothing.
    let answerHeaders: [[(name: String, value: String)]]
    private let state: Mutex<State>
    private let caches: Mutex<PublishedCaches>
    /// Whether any endpoint has ever published what it has cached.
    private let hasPublishers = Atomic<Bool>(false)

    /// - Parameter firstEndpoint: the number of the pool's first endpoint among those of all pools.
    init(settings: GatewayPool, number: Int, firstEndpoint: Int, now: Instant) {
        self.settings = settings
        self.number = number
        endpoints = settings.endpoints.enumerated().map { UpstreamEndpoint($1, number: firstEndpoint + $0) }
        caches = Mutex(PublishedCaches(endpoints: settings.endpoints.count))
        let configuration = PoolConfiguration(
            name: settings.name,
            endpoints: settings.endpoints.map { Endpoint(name: $0.name, capacity: $0.capacity, labels: $0.labels) },
            admission: settings.admission, harvest: settings.harvest, prefix: settings.prefix,
            routing: settings.routing,
            shadow: settings.shadow, attributes: settings.attributes.map(\.name))
        headersRead = Array(Set(settings.routing.headersRead + (settings.shadow?.headersRead ?? []))).sorted()
        let router = PolicyRouter(
            settings.routing, identities: configuration.endpoints.map { .init(name: $0.name, labels: $0.labels) },
            seed: 0)
        let headers = settings.endpoints.indices.map { router.responseHeaders(for: EndpointID($0)) }
        answerHeaders = headers.allSatisfy(\.isEmpty) ? [] : headers
        state = Mutex(
            State(
                scheduler: PoolScheduler(configuration: configuration, now: now),
                reports: settings.endpoints.map { _ in nil }))
    }

    // MARK: Of the settings

    /// Endpoints with all of these labels.
    func endpoints(labelled labels: [String: String]) -> [EndpointID] {
        settings.endpoints.indices.filter { index in
            labels.allSatisfy { settings.endpoints[index].labels[$0.key] == $0.value }
        }.map { EndpointID($0) }
    }

    /// The headers of a request that the routing policies read; what is too long to be meant for them is left out.
    func headersRead(of head: HTTPRequestHead) -> [String: String] {
        var headers: [String: String] = [:]
        for name in headersRead {
            guard let value = head.headers.first(name: name), value.utf8.count <= Self.headerLimitBytes else {
                continue
            }
            headers[name] = value
        }
        return headers
    }

    private static let headerLimitBytes = 512

    // MARK: Requests

    func submit(_ request: PoolRequest, from client: Client) {
        feed { state, now in
            state.clients[request.id] = client
            return state.scheduler.submit(request, now: now)
        }
    }

    func firstToken(_ id: UInt64) {
        state.withLock { $0.scheduler.firstToken(id, now: GatewayClock.now()) }
    }

    func progressed(_ id: UInt64, outputTokens: Int, longestGap: TimeSpan?) {
        state.withLock {
            $0.scheduler.progressed(id, outputTokens: outputTokens, longestGap: longestGap, now: GatewayClock.now())
        }
    }

    func finished(_ id: UInt64, _ answer: AnswerFacts) {
        feed { state, now in
            state.clients[id] = nil
            return state.scheduler.finished(id, answer, now: now)
        }
    }

    func withdraw(_ id: UInt64) {
        feed { state, now in
            state.clients[id] = nil
            return state.scheduler.cancelled(id, now: now)
        }
    }

    func failedBeforeAnswer(_ id: UInt64) {
        feed { state, now in state.scheduler.failedBeforeAnswer(id, now: now) }
    }

    // MARK: Endpoints and time

    /// Says whether that is news.
    func endpointChanged(_ id: EndpointID, isUp: Bool) -> Bool {
        var isNews = false
        feed { state, now in
            isNews = state.scheduler.endpoints[id.index].isUp != isUp
            return isNews ? state.scheduler.endpointChanged(id, isUp: isUp, now: now) : []
        }
        return isNews
    }

    func scraped(_ id: EndpointID, _ metrics: ScrapedMetrics, engine: String) {
        feed { state, now in
            state.reports[id.index] = Report(metrics: metrics, engine: engine, received: now)
            return state.scheduler.scraped(id, metrics, now: now)
        }
    }

    func tick() {
        feed { state, now in state.scheduler.tick(now: now) }
    }

    func drain() {
        feed { state, now in state.scheduler.drain(now: now) }
    }

    /// Looks at the scheduler under the lock.
    func view<Result: Sendable>(_ body: (inout PoolScheduler, Instant) -> Result) -> Result {
        state.withLock { body(&$0.scheduler, GatewayClock.now()) }
    }

    /// What the pool could do with, judged by messages like those that run, or by a common one while none does.
    func roomForMessages() -> PoolRoom {
        view { scheduler, now in
            let load = scheduler.endpoints.reduce(into: (requests: 0, context: 0)) { sum, endpoint in
                sum.requests += endpoint.load.sheddableRequests
                sum.context += endpoint.load.sheddableContextTokens
            }
            let demand =
                load.requests > 0
                ? RequestDemand(promptTokens: load.context / load.requests, expectedOutputTokens: 0)
                : RequestDemand(promptTokens: 1000, expectedOutputTokens: 200)
            var room = PoolRoom(running: load.requests, started: scheduler.counters.started[.sheddable])
            // Nothing sheddable is started while real-time requests wait.
            let isTaken = scheduler.queueDepths.contains { $0.priority >= 0 && $0.requests > 0 }
            for (endpoint, state) in zip(scheduler.endpoints, scheduler.harvestStates(for: demand, now: now)) {
                guard endpoint.isUp, state.limit != .disabled else { continue }
                room.isOpen = true
                guard state.limit == nil, !isTaken else { continue }
                room.startable += max(
                    0,
                    min(
                        state.allowedBatchRequests - endpoint.load.sheddableRequests,
                        endpoint.capacity.maxConcurrentRequests - endpoint.load.requests))
            }
            return room
        }
    }

    /// What the endpoints last reported, by place.
    var reports: [Report?] { state.withLock { $0.reports } }

    // MARK: What endpoints publish

    /// Whether prompts are worth tokenizing now. The usual pool, whose endpoints publish nothing, pays for no lock.
    var publishes: Bool {
        hasPublishers.load(ordering: .relaxed) && caches.withLock { $0.isWorthAsking(now: GatewayClock.now()) }
    }

    /// An endpoint to ask for the tokens of a prompt; another one for the next id, among those that are up.
    func tokenizingEndpoint(for id: UInt64) -> UpstreamEndpoint? {
        let up = view { scheduler, _ in scheduler.endpoints.indices.filter { scheduler.endpoints[$0].isUp } }
        return up.isEmpty ? nil : endpoints[up[Int(id % UInt64(up.count))]]
    }

    /// The chain of a prompt whose tokens have been told; nil says that the answer made no sense.
    func tokenized(_ tokens: [UInt32]?, model: String) -> TokenizedPrompt? {
        let terms = caches.withLock { caches -> (blockTokens: Int, root: String)? in
            guard tokens != nil else {
                caches.failed(now: GatewayClock.now())
                return nil
            }
            caches.answered()
            return caches.blockTokens.map { ($0, caches.root(for: model)) }
        }
        guard let tokens, let terms else { return nil }
        return TokenizedPrompt(
            blocks: PromptBlocks(tokens: tokens, tokensPerBlock: terms.blockTokens, model: terms.root))
    }

    func notTokenized(isOwnFault: Bool) {
        caches.withLock { caches in
            if isOwnFault { caches.refused() } else { caches.failed(now: GatewayClock.now()) }
        }
    }

    var tokenizations: TokenizationCounts { caches.withLock(\.counts) }

    func cacheChanged(_ changes: [PublishedCacheChange], at id: EndpointID) {
        guard caches.withLock({ $0.counts(id.index) }) else { return }
        feed { state, _ in
            state.scheduler.followsResidency(of: id, true)
            for change in changes {
                switch change {
                case .stored(let keys): state.scheduler.blocksStored(keys, at: id)
                case .removed(let keys): state.scheduler.blocksRemoved(keys, at: id)
                case .cleared: state.scheduler.blocksCleared(at: id)
                }
            }
            return []
        }
    }

    func cacheDescribed(_ terms: PublishedCaches.Terms, at id: EndpointID) -> Bool {
        let counts = caches.withLock { $0.set(terms, endpoint: id.index) }
        if counts { hasPublishers.store(true, ordering: .relaxed) } else { stopFollowing(id) }
        return counts
    }

    func cacheIsUnknown(_ id: EndpointID) {
        caches.withLock { _ = $0.set(nil, endpoint: id.index) }
        stopFollowing(id)
    }

    private func stopFollowing(_ id: EndpointID) {
        feed { state, _ in
            state.scheduler.followsResidency(of: id, false)
            return []
        }
    }

    // MARK: Performing

    private func feed(_ event: (inout State, Instant) -> [SchedulerAction]) {
        let deliveries = state.withLock { state in
            // The clock is read under the lock, so that the scheduler never sees time run backwards.
            event(&state, GatewayClock.now()).compactMap { action in
                switch action {
                case .start(let id, _): state.clients[id].map { Delivery(client: $0, action: action) }
                case .reject(let id, _), .callBack(let id, _):
                    state.clients.removeValue(forKey: id).map { Delivery(client: $0, action: action) }
                }
            }
        }
        for delivery in deliveries { perform(delivery) }
    }

    private func perform(_ delivery: Delivery) {
        if delivery.client.eventLoop.inEventLoop {
            Self.deliver(delivery)
        } else {
            delivery.client.eventLoop.execute { Self.deliver(delivery) }
        }
    }

    private static func deliver(_ delivery: Delivery) {
        let client = delivery.client.value
        switch delivery.action {
        case .start(_, let endpoint): client.placed(on: endpoint)
        case .reject(_, let rejection): client.dismissed(.rejected(rejection))
        case .callBack: client.dismissed(.evicted)
        }
    }
}
