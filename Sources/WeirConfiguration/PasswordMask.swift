extension Secret {
    /// The text with three asterisks for the password of every address in it: `redis://user:password@host`,
    /// `user:password@host:6379`, also as a part of JSON.
    ///
    /// Rather too much is masked than too little: passwords may hold any of the signs that addresses are made of.
    static func maskingPasswords(in text: String) -> String {
        guard text.contains("@") else { return text }
        let isDocument = text.contains { $0 == "\"" || $0 == "'" || $0 == "{" }
        // An address is all of a text that is nothing more than that, and else what stands between quotes or spaces.
        guard isDocument else { return maskingPassword(in: text[...]) }
        return text.split(omittingEmptySubsequences: false) { isBoundary($0) }
            .map { ($0, $0.endIndex) }
            .reduce(into: "") { masked, piece in
                masked += maskingPassword(in: piece.0)
                if piece.1 < text.endIndex { masked.append(text[piece.1]) }
            }
    }

    private static func isBoundary(_ character: Character) -> Bool {
        character.isWhitespace || character == "\"" || character == "'"
    }

    /// What lies before the last `@`, from the colon after a user's name; without one, all that follows a scheme.
    private static func maskingPassword(in address: Substring) -> String {
        guard let at = address.lastIndex(of: "@") else { return String(address) }
        let start = address[..<at].firstRange(of: "://")?.upperBound
        if let colon = address[(start ?? address.startIndex)..<at].firstIndex(of: ":") {
            return address[...colon] + mask + address[at...]
        }
        return start.map { address[..<$0] + mask + address[at...] } ?? String(address)
    }
}
