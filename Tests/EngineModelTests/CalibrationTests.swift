import EngineModel
import Testing

struct CalibrationTests {
    @Test func theModelMeetsTheMeasurements() throws {
        let rows = calibrate()
        #expect(rows.count == 8)
        for row in rows where row.knownDeviation == nil {
            #expect(row.isWithinBounds, "\(row.label) at \(row.offeredPerSecond)/s: \(row.errors)")
        }
    }

    @Test func theOneKnownDeviationIsWhatTheConstantsImply() throws {
        let deviating = calibrate().filter { $0.knownDeviation != nil }
        #expect(deviating.map(\.offeredPerSecond) == [61.8])
        let row = try #require(deviating.first)
        // Solved for the step time, with decodes = rate * 63 steps * step time, the formula gives 11.25 ms.
        let perRequest = 63 * 0.0347 + 204 * 0.0202
        let implied = 6.86 / (1 - 61.8 / 1000 * perRequest)
        #expect(abs(row.modelled.millisecondsPerToken / implied - 1) < 0.01)
        #expect(abs(row.errors.requestsPerSecond) <= CalibrationRow.bounds.requestsPerSecond)
        #expect(abs(row.errors.timeToFirstTokenMilliseconds) <= CalibrationRow.bounds.timeToFirstTokenMilliseconds)
    }

    @Test func everyPresetIsWellFormed() throws {
        for name in EngineConfiguration.presetNames {
            let preset = try #require(EngineConfiguration.preset(named: name))
            #expect(preset.maxBatchedTokens == 2048 && preset.maxSequences == 256)
            #expect(preset.kvTokens > 300_000)
        }
        #expect(EngineConfiguration.preset(named: "llama-3b-a10") == nil)
    }
}
