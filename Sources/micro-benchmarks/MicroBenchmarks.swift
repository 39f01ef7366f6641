import Glibc

/// Measures the pure decision cores, one line per figure with its bar beside it.
///
///     micro-benchmarks [--strict]
///
/// With `--strict` it ends with 1 if a bar is missed.
@main
enum MicroBenchmarks {
    static func main() {
        let words = CommandLine.arguments.dropFirst()
        guard words.allSatisfy({ $0 == "--strict" }) else {
            print("usage: micro-benchmarks [--strict]")
            exit(2)
        }
        var missed = 0
        for figures in [predictionFigures, prefixFigures, routingFigures, admissionFigures, schedulerFigures] {
            for figure in figures() {
                print(figure.line)
                if !figure.isMet { missed += 1 }
            }
        }
        if missed > 0, words.contains("--strict") { exit(1) }
    }
}
