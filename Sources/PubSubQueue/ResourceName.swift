/// Whole names of topics and subscriptions.
public enum ResourceName {
    /// `projects/PROJECT/topics/NAME`; a name that is whole already stays as it is.
    public static func topic(_ name: String, project: String) throws(PubSubError) -> String {
        try whole(name, kind: "topics", project: project)
    }

    /// `projects/PROJECT/subscriptions/NAME`; a name that is whole already stays as it is.
    public static func subscription(_ name: String, project: String) throws(PubSubError) -> String {
        try whole(name, kind: "subscriptions", project: project)
    }

    /// The last part of a whole name.
    static func shortName(_ name: String) -> String { name.split(separator: "/").last.map(String.init) ?? name }

    private static func whole(_ name: String, kind: String, project: String) throws(PubSubError) -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts.count == 4, parts[0] == "projects", parts[2] == kind, isProject(parts[1]), isName(parts[3]) {
            return name
        }
        guard parts.count == 1, isName(name) else {
            throw PubSubError(
                .invalid, place: name,
                detail: "a name in \(kind) begins with a letter and has 3 to 255 letters, digits and -_.~+%, "
                    + "or is written as projects/PROJECT/\(kind)/NAME")
        }
        guard isProject(project) else {
            throw PubSubError(
                .invalid, place: project,
                detail: "this is no project id: it has letters, digits, dashes, dots and colons")
        }
        return "projects/\(project)/\(kind)/\(name)"
    }

    /// The rules of Google's "Resource names" page.
    private static func isName(_ name: String) -> Bool {
        guard (3...255).contains(name.utf8.count), let first = name.utf8.first, isLetter(first),
            !name.hasPrefix("goog")
        else { return false }
        return name.utf8.allSatisfy { isLetter($0) || isDigit($0) || "-_.~+%".utf8.contains($0) }
    }

    private static func isProject(_ project: String) -> Bool {
        (1...100).contains(project.utf8.count)
            && project.utf8.allSatisfy { isLetter($0) || isDigit($0) || "-.:_".utf8.contains($0) }
    }

    private static func isLetter(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte | 0x20)
    }

    private static func isDigit(_ byte: UInt8) -> Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
    }
}
