/// A message for the dead-letter topic: its own data and attributes, and what became of it.
struct DeadLetter: Hashable {
    /// Why it is there, in a sentence.
    static let reasonAttribute = "dead_letter_reason"
    /// Pub/Sub's id of the message, or the token of its producer.
    static let messageAttribute = "dead_letter_message_id"
    /// The subscription that it came from.
    static let subscriptionAttribute = "dead_letter_subscription"
    /// How many bytes of data it had, if not all of them are here.
    static let bytesAttribute = "dead_letter_data_bytes"
    /// A message may have so many attributes ("Quotas and limits").
    static let maximumAttributes = 100

    let data: [UInt8]
    let attributes: [String: String]

    /// Our own attributes may make a message too large that was not; then the end of its data is left out.
    init(data: [UInt8], attributes: [String: String], messageID: String, subscription: String, reason: String) {
        let own = [
            Self.reasonAttribute: Self.fitting(reason), Self.messageAttribute: Self.fitting(messageID),
            Self.subscriptionAttribute: subscription,
        ]
        let names = Set(own.keys).union([Self.bytesAttribute])
        let kept = attributes.filter { !names.contains($0.key) }.sorted { $0.key < $1.key }
        var all = own
        for (name, value) in kept.prefix(Self.maximumAttributes - names.count) { all[name] = value }
        func size() -> Int { data.count + all.reduce(0) { $0 + $1.key.utf8.count + $1.value.utf8.count } }
        var excess = size() - ResultPublication.maximumDataBytes
        if excess > 0 {
            all[Self.bytesAttribute] = "\(data.count)"
            excess = size() - ResultPublication.maximumDataBytes
        }
        self.attributes = all
        self.data = excess > 0 ? Array(data.dropLast(excess)) : data
    }

    /// As much of a text as fits into an attribute, whole characters.
    private static func fitting(_ text: String) -> String {
        var kept = ""
        var bytes = 0
        for character in text {
            bytes += character.utf8.count
            guard bytes <= ResultPublication.maximumAttributeBytes else { break }
            kept.append(character)
        }
        return kept
    }
}
