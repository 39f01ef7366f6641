/// Parameters written down in code look as they do in a file.
extension GateParameter: ExpressibleByStringLiteral, ExpressibleByFloatLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    /// Text.
    public init(stringLiteral value: String) { self = .text(value) }
    /// A number.
    public init(floatLiteral value: Double) { self = .number(value) }
    /// A whole number.
    public init(integerLiteral value: Int) { self = .number(Double(value)) }
    /// True or false.
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    /// A list.
    public init(arrayLiteral elements: GateParameter...) { self = .list(elements) }
    /// An object; of equal keys the last counts.
    public init(dictionaryLiteral elements: (String, GateParameter)...) {
        self = .object(Dictionary(elements) { _, last in last })
    }
}
