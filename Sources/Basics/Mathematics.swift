#if canImport(Glibc)
    import Glibc
#elseif canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#endif

/// `e` to the power of `value`: the C library's, named here so that the pure targets need not import it.
public func exponential(_ value: Double) -> Double { exp(value) }

/// The natural logarithm of `value`.
public func naturalLogarithm(_ value: Double) -> Double { log(value) }

/// A draw from the standard normal distribution (Box and Muller, 1958).
public func standardNormal(using generator: inout SeededGenerator) -> Double {
    let radius = (-2 * log(1 - generator.unit())).squareRoot()
    return radius * cos(2 * .pi * generator.unit())
}
