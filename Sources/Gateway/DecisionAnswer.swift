import Basics
import InferenceAPI
import Routing

/// The receipt of a routing decision as JSON: `GET /weir/v1/decisions/REQUEST-ID`.
enum DecisionAnswer {
    static let prefix = "/weir/v1/decisions/"

    /// The request that a target asks about.
    static func requestID(in target: some StringProtocol) -> String? {
        guard target.hasPrefix(prefix) else { return nil }
        let id = target.dropFirst(prefix.count).prefix { $0 != "?" }
        return id.isEmpty ? nil : String(id)
    }

    static func json(_ receipt: DecisionReceipt, requestID: String, pool: String) -> [UInt8] {
        var object = JSONObjectText()
        object.member("request_id", requestID)
        object.member("pool", pool)
        object.member("policy", receipt.policy)
        object.member("waited_ms", receipt.waited.milliseconds)
        let picked = receipt.candidates.indices.contains(receipt.picked) ? receipt.candidates[receipt.picked] : nil
        object.member("endpoint", picked?.endpoint)
        object.array("candidates", receipt.candidates.map(candidate))
        var outcome = JSONObjectText()
        outcome.member("ttft_ms", receipt.outcome.ttftMilliseconds)
        outcome.member("tpot_ms", receipt.outcome.tpotMilliseconds)
        outcome.member("cached_prompt_tokens", receipt.outcome.cachedPromptTokens.map { Double($0) })
        outcome.member("output_tokens", receipt.outcome.outputTokens.map { Double($0) })
        object.object("outcome", outcome)
        return object.finish()
    }

    private static func candidate(_ candidate: DecisionReceipt.Candidate) -> [UInt8] {
        var object = JSONObjectText()
        object.member("endpoint", candidate.endpoint)
        object.member("eligible", candidate.isCandidate)
        object.member("cached_prompt_tokens", Double(candidate.cachedPromptTokens))
        object.member("predicted_ttft_ms", Double(candidate.predictedTTFTMilliseconds))
        object.member("predicted_tpot_ms", Double(candidate.predictedTPOTMilliseconds))
        var cost = JSONObjectText()
        cost.member("first_token", Double(candidate.cost.firstToken))
        cost.member("decode", Double(candidate.cost.decode))
        cost.member("interference", Double(candidate.cost.interference))
        cost.member("penalty", Double(candidate.cost.penalty))
        cost.member("adapter", Double(candidate.cost.adapter))
        cost.member("total", Double(candidate.cost.total))
        object.object("cost_ms", cost)
        if !candidate.scores.isEmpty {
            var scores = JSONObjectText()
            for (name, score) in candidate.scores.sorted(by: { $0.key < $1.key }) { scores.member(name, Double(score)) }
            object.object("scores", scores)
        }
        return object.finish()
    }
}

/// Writes one JSON object member by member.
private struct JSONObjectText {
    private var output = [UInt8(ascii: "{")]

    mutating func member(_ name: String, _ text: String?) {
        key(name)
        JSONText.appendOptionalString(text, to: &output)
    }

    mutating func member(_ name: String, _ flag: Bool) {
        key(name)
        output.append(contentsOf: (flag ? "true" : "false").utf8)
    }

    /// A number that is none is null; others have three decimals at most.
    mutating func member(_ name: String, _ number: Double?) {
        key(name)
        guard let number, number.isFinite, abs(number) < 1e12 else {
            output.append(contentsOf: "null".utf8)
            return
        }
        let rounded = (number * 1000).rounded() / 1000
        let text = rounded == rounded.rounded() ? String(Int(rounded)) : String(rounded)
        output.append(contentsOf: text.utf8)
    }

    mutating func object(_ name: String, _ child: JSONObjectText) {
        key(name)
        output.append(contentsOf: child.finish())
    }

    mutating func array(_ name: String, _ items: [[UInt8]]) {
        key(name)
        output.append(UInt8(ascii: "["))
        for (index, item) in items.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            output.append(contentsOf: item)
        }
        output.append(UInt8(ascii: "]"))
    }

    func finish() -> [UInt8] { output + [UInt8(ascii: "}")] }

    private mutating func key(_ name: String) {
        if output.count > 1 { output.append(UInt8(ascii: ",")) }
        JSONText.appendString(name, to: &output)
        output.append(UInt8(ascii: ":"))
    }
}
