/// Takes the password out of an address before anybody sees it.
enum AddressMask {
    /// `scheme://user:secret@host` as `scheme://user:***@host`, and the same without a scheme; an address without a password
    /// stays as it is.
    static func withoutPassword(_ address: String) -> String {
        let start = endOfScheme(address)
        // In a page's URL an @ may stand behind the host; a Redis server's password may hold a slash itself.
        let isPage = address[..<start].lowercased().hasPrefix("http")
        let authority = isPage ? address[start...].prefix { $0 != "/" && $0 != "?" && $0 != "#" } : address[start...]
        guard let at = authority.lastIndex(of: "@") else { return address }
        guard let colon = authority[..<at].firstIndex(of: ":") else { return address }
        return address[...colon] + "***" + address[at...]
    }

    private static func endOfScheme(_ address: String) -> String.Index {
        var index = address.startIndex
        while index < address.endIndex {
            if address[index...].hasPrefix("://") { return address.index(index, offsetBy: 3) }
            index = address.index(after: index)
        }
        return address.startIndex
    }
}
