import Basics

extension Configuration.Routing {
    /// What is wrong with the keys together, for a section at `place`.
    func faults(at place: String) -> [Configuration.Fault] {
        var faults: [Configuration.Fault] = []
        switch (endpointPickerConfig, shadow) {
        case (nil, .cost):
            faults.append(
                .init(
                    keyPath: "\(place).shadow", message: "the cost is what is followed; write an endpointPickerConfig"))
        case (let live?, .endpointPickerConfig(let path)) where live == path:
            faults.append(.init(keyPath: "\(place).shadow", message: "is the endpointPickerConfig, which is followed"))
        default: break
        }
        guard endpointPickerConfig != nil, shadow != .cost else { return faults }
        let standard = Self()
        let written = [
            ("decodeShare", decodeShare != standard.decodeShare),
            ("interferenceShare", interferenceShare != standard.interferenceShare),
            ("penaltyFactor", penaltyFactor != standard.penaltyFactor),
            ("adapterLoad", adapterLoad != standard.adapterLoad), ("adapterSwap", adapterSwap != standard.adapterSwap),
        ]
        for (key, isWritten) in written where isWritten {
            faults.append(
                .init(
                    keyPath: "\(place).\(key)",
                    message: "has no effect: endpointPickerConfig is followed, and shadow is not cost"))
        }
        return faults
    }
}

extension Configuration.Admission {
    /// What is wrong with the keys together, for a section at `place`.
    func faults(at place: String, scrapeInterval: TimeSpan) -> [Configuration.Fault] {
        bandFaults(at: "\(place).bands")
            + saturation.faults(at: "\(place).saturation", scrapeInterval: scrapeInterval)
            + usageLimit.faults(at: "\(place).usageLimit")
    }

    private func bandFaults(at place: String) -> [Configuration.Fault] {
        var faults: [Configuration.Fault] = []
        if bands.count > Self.mostBands {
            faults.append(.init(keyPath: place, message: "must be at most \(Self.mostBands), found \(bands.count)"))
        }
        var seen: Set<Int> = []
        var realtimeShare = 0.0
        var batchShare = 0.0
        for (index, band) in bands.enumerated() {
            let place = "\(place)[\(index)]"
            if !seen.insert(band.priority).inserted {
                faults.append(
                    .init(keyPath: "\(place).priority", message: "there is already a band of priority \(band.priority)")
                )
            }
            let isRealtime = band.priority >= 0
            let before = isRealtime ? realtimeShare : batchShare
            if isRealtime { realtimeShare += band.minimumShare } else { batchShare += band.minimumShare }
            if before < 1, before + band.minimumShare >= 1 {
                let owners = isRealtime ? "from priority 0 up" : "below priority 0"
                faults.append(
                    .init(
                        keyPath: "\(place).minimumShare",
                        message: "the shares of bands \(owners) must add up to less than 1"))
            }
            if band.appliesAcrossClasses, isRealtime {
                faults.append(
                    .init(
                        keyPath: "\(place).appliesAcrossClasses",
                        message: "has a meaning only for a priority below 0"))
            } else if band.appliesAcrossClasses, band.ageingBound == nil, band.minimumShare == 0 {
                faults.append(
                    .init(
                        keyPath: "\(place).appliesAcrossClasses",
                        message: "has a meaning only with ageingBound or minimumShare"))
            }
        }
        return faults
    }
}

extension Configuration.Admission.Saturation {
    fileprivate func faults(at place: String, scrapeInterval: TimeSpan) -> [Configuration.Fault] {
        let standard = Self()
        let written: [(Detector, Bool)] = [
            (.predictive, predictive != standard.predictive), (.utilization, utilization != standard.utilization),
            (.concurrency, concurrency != standard.concurrency),
        ]
        var faults: [Configuration.Fault] = []
        for (kind, isWritten) in written where isWritten && kind != detector {
            faults.append(
                .init(
                    keyPath: "\(place).\(kind.rawValue)",
                    message: "has a meaning only with the detector \(kind.rawValue)"))
        }
        if detector == .utilization, let threshold = utilization.metricsStalenessThreshold, threshold < scrapeInterval {
            faults.append(
                .init(
                    keyPath: "\(place).utilization.metricsStalenessThreshold",
                    message: "must not be shorter than scrape.interval (\(DurationText.text(scrapeInterval)))"))
        }
        return faults
    }
}

extension Configuration.Admission.UsageLimit {
    fileprivate func faults(at place: String) -> [Configuration.Fault] {
        var faults: [Configuration.Fault] = []
        func note(_ key: String, _ message: String) {
            faults.append(.init(keyPath: "\(place).\(key)", message: message))
        }
        let holdsBack = policy == .priorityHoldbackRank || policy == .priorityHoldbackValue
        if policy != .fixed, ceiling != Self().ceiling { note("ceiling", "has a meaning only with the policy fixed") }
        if holdsBack {
            if let minimum, minimum > maximum {
                note("minimum", "must not be more than maximum (\(ScalarFormat<Double>.number.print(maximum)))")
            } else if minimum == nil {
                note("minimum", "is required with the policy \(policy.rawValue)")
            }
        } else {
            let meaning = "has a meaning only with the policies priority-holdback-rank and priority-holdback-value"
            if minimum != nil { note("minimum", meaning) }
            if maximum != Self().maximum { note("maximum", meaning) }
        }
        return faults
    }
}

extension Configuration.Harvest {
    /// What is wrong with the keys together, for a section at `place`.
    func faults(at place: String) -> [Configuration.Fault] {
        var faults: [Configuration.Fault] = []
        if cautiousBrakeShare > brakeShare {
            let limit = ScalarFormat<Double>.number.print(brakeShare)
            faults.append(
                .init(keyPath: "\(place).cautiousBrakeShare", message: "must not be more than brakeShare (\(limit))"))
        }
        if cautiousAbortedTokenShare < abortedTokenShare {
            let limit = ScalarFormat<Double>.number.print(abortedTokenShare)
            faults.append(
                .init(
                    keyPath: "\(place).cautiousAbortedTokenShare",
                    message: "must not be less than abortedTokenShare (\(limit))"))
        }
        return faults
    }
}
