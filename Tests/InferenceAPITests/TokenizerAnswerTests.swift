import InferenceAPI
import Testing

@Suite struct TokenizerAnswerTests {
    private func tokens(_ text: String) -> [UInt32]? {
        var text = text
        return text.withUTF8 { TokenizerAnswer.tokens(in: UnsafeRawBufferPointer($0)) }
    }

    @Test(
        arguments: [
            (
                #"{"count":3,"max_model_len":4096,"tokens":[1,20,4294967295],"token_strs":null}"#,
                [1, 20, 4_294_967_295]
            ),
            (#"{"tokens":[]}"#, []),
            (#"{"tokens":[1],"tokens":[2,3]}"#, [2, 3]),
            (#"{"token_strs":["a",["b"]],"other":{"tokens":[9]},"tokens":[7]}"#, [7]),
            (" {\"tokens\" : [ 5 ,\n6 ] } ", [5, 6]),
        ] as [(String, [UInt32])])
    func theListIsRead(answer: String, expected: [UInt32]) { #expect(tokens(answer) == expected) }

    @Test(arguments: [
        "", "[]", "{}", "null", #"{"tokens":null}"#, #"{"tokens":"1,2"}"#, #"{"tokens":{"0":1}}"#, #"{"tokens":[1,2"#,
        #"{"tokens":[1,-2]}"#, #"{"tokens":[4294967296]}"#, #"{"tokens":[1.5]}"#, #"{"tokens":["1"]}"#,
        #"{"tokens":[[1,2]]}"#, #"{"tokens":[1,null]}"#, #"{"tokens":[{"id":1}]}"#, #"{"count":2}"#,
        #"{"tokens":[1]}{"tokens":[2]}"#,
    ])
    func anythingElseIsNoAnswer(answer: String) { #expect(tokens(answer) == nil) }
}
