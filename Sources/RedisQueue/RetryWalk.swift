/// Lua that looks through the retry set for what is due.
enum RetryWalk {
    /// `walk(key, cursor, now, budget, take)` shows the due members behind the cursor to `take(member, envelope)`, which
    /// returns true for one that is to come out, false for one that stays, and nil to stop before it. It ends after 1000
    /// members, or `budget` bytes.
    ///
    /// Returns the new cursor, how many due members stay before it, whether all that is due has been seen, the time at which
    /// the next one is due if that is known, and what is left of the budget.
    ///
    /// A cursor is a score and how many members of just that score are behind it, so that it keeps its place when somebody
    /// else takes members out: what becomes due lies behind it. Going there costs a logarithm and not the number of members.
    static let source =
        EnvelopeScript.source + #"""
            local function walk(key, cursor, now, budget, take)
              local score, ties = string.match(cursor, '^(%S+) (%d+)$')
              local rank = 0
              if score then
                ties = math.min(tonumber(ties), redis.call('ZCOUNT', key, score, score))
                rank = redis.call('ZCOUNT', key, '-inf', '(' .. score) + ties
              end
              local is_end, upcoming, chunk, looked, goes_on = false, nil, 1, 0, true
              while goes_on and budget > 0 and looked < 1000 do
                local found = redis.call('ZRANGE', key, rank, rank + chunk - 1, 'WITHSCORES')
                is_end = #found == 0
                for i = 1, #found, 2 do
                  local member, due = found[i], found[i + 1]
                  if tonumber(due) > now then
                    is_end, upcoming = true, tonumber(due)
                    break
                  end
                  local envelope, decoded = identity(member, 1e9)
                  local comes_out = take(member, envelope)
                  if comes_out == nil then
                    goes_on = false
                    break
                  end
                  looked = looked + 1
                  budget = budget - #member - decoded
                  if comes_out then
                    redis.call('ZREM', key, member)
                  else
                    rank = rank + 1
                    if due == score then ties = ties + 1 else score, ties = due, 1 end
                  end
                end
                goes_on = goes_on and not is_end
                chunk = math.min(16, chunk * 2)
              end
              return score and (score .. ' ' .. ties) or '', rank, is_end, upcoming, budget
            end

            """#
}
