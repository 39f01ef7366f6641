import InferenceAPI
import Testing

/// Expected values come from an independent program of the formula.
@Suite struct TokenChainTests {
    @Test func itIsTheChainThatItsDescriptionSays() {
        var chain = TokenChain(model: "llama")
        #expect(chain.hash == 0x250A_F26A_6160_0058)
        chain.append([1, 2, 3])
        #expect(chain.hash == 0x9E5B_85D9_1AB8_9B6B)
        chain.append([4, 5, 4_294_967_295])
        #expect(chain.hash == 0x9198_6255_79A9_6424)
        var salted = TokenChain(model: "llama")
        salted.append([1, 2, 3], extras: [Array("salt-0123456789".utf8)])
        #expect(salted.hash == 0x92FC_A6D2_9F68_F08D)
    }

    @Test func aPromptIsItsFullBlocks() {
        let prompt = PromptBlocks(tokens: [1, 2, 3, 4, 5, .max, 7, 8], tokensPerBlock: 3, model: "llama")
        #expect(prompt.hashes == [0x9E5B_85D9_1AB8_9B6B, 0x9198_6255_79A9_6424])
        #expect(prompt.unitsPerBlock == 3)
        #expect(prompt.units == 8)
        let salted = PromptBlocks(tokens: [1, 2, 3], tokensPerBlock: 3, model: "llama", cacheSalt: "salt-0123456789")
        #expect(salted.hashes == [0x92FC_A6D2_9F68_F08D])
        #expect(PromptBlocks(tokens: [1, 2], tokensPerBlock: 0, model: "").hashes.count == 2)
    }

    @Test func aKeyTellsOfEverythingInFront() {
        let tokens = [UInt32](0..<64)
        let chain = PromptBlocks(tokens: tokens, tokensPerBlock: 16, model: "a").hashes
        #expect(Set(chain).count == 4)
        #expect(Set(PromptBlocks(tokens: tokens, tokensPerBlock: 16, model: "b").hashes).isDisjoint(with: chain))
        for place in tokens.indices {
            var other = tokens
            other[place] += 1
            let changed = PromptBlocks(tokens: other, tokensPerBlock: 16, model: "a").hashes
            #expect(zip(chain, changed).prefix { $0 == $1 }.count == place / 16)
            #expect(Set(changed.dropFirst(place / 16)).isDisjoint(with: chain))
        }
    }
}
