import Basics
import Prediction

/// What a prediction costs: 100 endpoints of two classes with a queue each, in one call.
func predictionFigures() -> [Figure] {
    let endpoints = 100
    let constants = StepTimeModel(
        baseMilliseconds: 6.65, perDecodeMilliseconds: 0.0228, perContextTokenMilliseconds: 5.5e-5,
        perPrefillTokenMilliseconds: 0.02)
    var predictor = LatencyPredictor(endpointClasses: (0..<endpoints).map { $0 % 2 }, prior: constants)
    var generator = SeededGenerator(seed: 1)
    func column(_ limit: Double) -> [Int32] { (0..<endpoints).map { _ in Int32(generator.unit() * limit) } }
    let cached = column(1500)
    let pending = column(20_000)
    let decoding = column(60)
    let awaiting = column(8)
    let context = column(100_000)
    var ttft = Array(repeating: Float(0), count: endpoints)
    var tpot = ttft
    var id: UInt64 = 0
    for endpoint in 0..<endpoints {
        predictor.reported(
            endpoint: endpoint, kvUsage: 0.5, kvTokens: 400_000, contextTokens: Int(context[endpoint]), now: .zero)
        for _ in 0..<awaiting[endpoint] {
            let features = predictor.features(
                endpoint: endpoint, promptTokens: 2500, cachedPromptTokens: 0, pendingPrefillTokens: 0,
                decodingRequests: Int(decoding[endpoint]), awaitingRequests: 0,
                contextTokens: Int(context[endpoint]), now: .zero)
            predictor.sent(id, endpoint: endpoint, features: features, now: .zero)
            id += 1
        }
    }
    let predict = bestMicroseconds(calls: 2000) { call in
        predictor.predict(
            promptTokens: 2000 + call % 7, cachedPromptTokens: cached, pendingPrefillTokens: pending,
            decodingRequests: decoding, awaitingRequests: awaiting, contextTokens: context,
            now: .zero + .milliseconds(Double(call % 5)), ttftMilliseconds: &ttft, tpotMilliseconds: &tpot)
    }
    let learn = bestMicroseconds(calls: 2000) { call in
        let endpoint = call % endpoints
        let features = predictor.features(
            endpoint: endpoint, promptTokens: 500 + call % 3000, cachedPromptTokens: 0,
            pendingPrefillTokens: Int(pending[endpoint]), decodingRequests: Int(decoding[endpoint]),
            awaitingRequests: 0, contextTokens: Int(context[endpoint]), now: .zero)
        predictor.observeFirstToken(
            .max, endpoint: endpoint, features: features,
            predictedMilliseconds: predictor.ttftMilliseconds(endpoint: endpoint, features),
            milliseconds: 20 + Double(call % 97), now: .zero)
    }
    return [
        Figure(name: "prediction: TTFT and TPOT at 100 endpoints", value: predict, unit: "us", bar: .atMost(5)),
        Figure(name: "prediction: learn one first token", value: learn, unit: "us", bar: .none),
    ]
}
