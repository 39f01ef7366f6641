import Glibc
let knobs: [Double] = (0..<24).map { i in
    guard let text = getenv("K\(i)") else { return -1 }
    return atof(text)
}
@inline(__always) func knob(_ i: Int, _ d: Double) -> Double { knobs[i] == -1 ? d : knobs[i] }
