import EngineModel
import Testing

struct CalibrationTests {
    @Test func theModelMeetsTheMeasurements() throws {
        let rows = calibrate()
        #expect(rows.count == 8)
        for row in rows {
            #expect(row.isWithinBounds, "\(row.label) at \(row.offeredPerSecond)/s: \(row.errors)")
        }
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
