import DispatchGates
import Testing

@testable import GateSources

@Suite struct PrometheusAnswerTests {
    private func reading(_ body: String, status: Int = 200) -> GateReading {
        PrometheusAnswer.reading(status: status, body: Array(body.utf8))
    }

    private func success(_ type: String, _ result: String) -> GateReading {
        reading(#"{"status":"success","data":{"resultType":"\#(type)","result":\#(result)}}"#)
    }

    @Test func theFirstSampleOfAVectorCounts() {
        let result = #"[{"metric":{"pool":"a"},"value":[1700000000.1,"0.25"]},{"metric":{},"value":[1,"7"]}]"#
        #expect(success("vector", result) == .value(0.25))
    }

    @Test func aScalarCounts() { #expect(success("scalar", #"[1700000000,"-1.5e2"]"#) == .value(-150)) }

    @Test func anEmptyVectorIsAbsent() { #expect(success("vector", "[]") == .absent) }

    @Test(arguments: ["NaN", "+Inf", "-Inf"]) func whatIsNotFiniteIsAbsent(text: String) {
        #expect(success("scalar", #"[1,"\#(text)"]"#) == .absent)
        #expect(success("vector", #"[{"metric":{},"value":[1,"\#(text)"]}]"#) == .absent)
    }

    @Test func warningsAreIgnored() {
        let body =
            #"{"status":"success","warnings":["slow"],"infos":["x"],"data":{"resultType":"scalar","result":[1,"1"]}}"#
        #expect(reading(body) == .value(1))
    }

    @Test func otherResultsFail() {
        #expect(success("matrix", "[]") == .failed("the query gives a matrix, not a number or a list of numbers"))
        #expect(
            success("string", #"[1,"x"]"#) == .failed("the query gives a string, not a number or a list of numbers"))
        let histogram = #"[{"metric":{},"histogram":[1,{"count":"1","sum":"2"}]}]"#
        #expect(success("vector", histogram) == .failed("the query gives a vector, not a number or a list of numbers"))
        #expect(success("scalar", #"[1,"one"]"#) == .failed("Prometheus' answer holds a value that is not a number"))
    }

    @Test func errorsOfTheAPIAreTold() {
        let body = #"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end of input"}"#
        let sentence = "bad_data: parse error: unexpected end of input"
        #expect(reading(body, status: 400) == .failed("Prometheus refused the query (status 400) " + sentence))
        #expect(reading("<html>", status: 502) == .failed("Prometheus answered with status 502"))
        #expect(reading("<html>") == .failed("Prometheus' answer is not that of its query API"))
        #expect(reading("{}") == .failed("Prometheus' answer is not that of its query API"))
    }
}
