import RedisClient

/// Ending claims, many in one step: with a result, back into the queue, or among the dead letters.
enum SettleScript {
    /// KEYS: pending, claimed, owners, claims, retry, dead letters, commit. ARGV: how long the outcome is remembered in
    /// seconds, then the settlements, each with: number of values that follow, kind, claim key, owner, the commit key of an
    /// earlier try and the place in it (both empty if there was none), and
    /// - `result`: result list, its time to live in seconds (0: none), result, payload key, active key, cancel key, token,
    ///   head of a dead letter (empty: none);
    /// - `back`: delay in seconds, score, and the first and last byte to replace and what by (0, 0, empty: nothing);
    /// - `dead`: dead letter, result list (empty: no result), its time to live, result, active key, cancel key, token.
    ///
    /// Returns one digit for each settlement, 1: done, 0: in other hands, 2: the list or set does not take it, 3: the dead
    /// letters do not; why not; and what else went wrong with those that are done.
    /// What it came to is stored under the commit key: a batch that is sent again because its reply was lost changes nothing
    /// and has the same reply.
    ///
    /// A result that is out must not go out again: what can fail is tried before anything is published, a failure after that
    /// is the failure of one settlement, and the claims of what is published are removed whatever else fails.
    static let settle = RedisScript(
        EnvelopeScript.source + #"""
            local before = redis.call('GET', KEYS[7])
            if before then return {before, '', ''} end
            local now = server_time()
            local items, keys = {}, {}
            local at = 2
            while at < #ARGV do
              items[#items + 1] = at
              keys[#keys + 1] = ARGV[at + 2]
              at = at + 1 + tonumber(ARGV[at])
            end
            local owners = redis.call('HMGET', KEYS[3], unpack(keys))
            -- No claim has this key: these change nothing, but fail where the removal of claims would.
            redis.call('HDEL', KEYS[2], '\0unread\0')
            redis.call('HDEL', KEYS[3], '\0unread\0')
            redis.call('ZREM', KEYS[4], '\0unread\0')
            local complaint, warning = '', ''
            local function fault(reply)
              if type(reply) == 'table' and reply.err then return reply.err end
            end
            local no_letters
            local outcomes, taken, markers, tokens = {}, {}, {}, {}
            local function forget(active, cancel, token)
              if token == '' then return end
              for _, marker in ipairs({active, cancel}) do
                markers[#markers + 1] = marker
                tokens[#tokens + 1] = token
              end
            end
            for i, item in ipairs(items) do
              local kind, key, owner, earlier, place = unpack(ARGV, item + 1, item + 5)
              local value = item + 6
              local known = earlier ~= '' and redis.call('GET', earlier)
              if known and string.sub(known, tonumber(place), tonumber(place)) == '1' then
                outcomes[i] = '1'
              elseif owners[i] == owner and not taken[key] then
                taken[key] = i
                if kind == 'result' then forget(ARGV[value + 4], ARGV[value + 5], ARGV[value + 6]) end
                if kind == 'dead' then forget(ARGV[value + 4], ARGV[value + 5], ARGV[value + 6]) end
                if kind == 'dead' or (kind == 'result' and ARGV[value + 7] ~= '') then
                  if no_letters == nil then no_letters = fault(redis.pcall('LLEN', KEYS[6])) or false end
                  if no_letters then outcomes[i] = '3' end
                end
              else
                outcomes[i] = '0'
              end
            end
            if no_letters then complaint = no_letters end
            local found = #markers > 0 and redis.pcall('MGET', unpack(markers)) or {}
            if fault(found) then
              warning = fault(found)
              found = {}
            end
            local current = {}
            for i, token in ipairs(found) do
              if token == tokens[i] then current[markers[i] .. '\0' .. token] = markers[i] end
            end
            -- Results by list, in order; a list that is none refuses its own and nothing else.
            local lists, names = {}, {}
            for i, item in ipairs(items) do
              if not outcomes[i] and ARGV[item + 1] == 'result' then
                local list = ARGV[item + 6]
                if not lists[list] then
                  lists[list] = {lifetime = 0, results = {}}
                  names[#names + 1] = list
                end
                lists[list].lifetime = math.max(lists[list].lifetime, tonumber(ARGV[item + 7]))
                table.insert(lists[list].results, ARGV[item + 8])
              end
            end
            for _, name in ipairs(names) do
              local list = lists[name]
              list.fault = fault(redis.pcall('LPUSH', name, unpack(list.results)))
              if list.fault then
                complaint = list.fault
              elseif list.lifetime > 0 then
                redis.pcall('EXPIRE', name, list.lifetime)
              end
            end
            local ended, unused = {}, {}
            local function drop(active, cancel, token)
              for _, marker in ipairs({active, cancel}) do
                unused[#unused + 1] = current[marker .. '\0' .. token]
              end
            end
            for i, item in ipairs(items) do
              local kind, key = ARGV[item + 1], ARGV[item + 2]
              local value = item + 6
              if not outcomes[i] then
                outcomes[i] = '1'
                if kind == 'result' then
                  if lists[ARGV[value]].fault then
                    outcomes[i] = '2'
                  else
                    if ARGV[value + 7] ~= '' then
                      local member = redis.pcall('HGET', KEYS[2], key)
                      if type(member) ~= 'string' then member = 'null' end
                      local pushed = redis.pcall('LPUSH', KEYS[6], ARGV[value + 7] .. member .. '}')
                      warning = fault(pushed) or warning
                    end
                    if ARGV[value + 3] ~= '' then unused[#unused + 1] = ARGV[value + 3] end
                    drop(ARGV[value + 4], ARGV[value + 5], ARGV[value + 6])
                  end
                elseif kind == 'back' then
                  local member = redis.pcall('HGET', KEYS[2], key)
                  local refusal = fault(member)
                  if member and not refusal then
                    local delay = tonumber(ARGV[value])
                    local first, last = tonumber(ARGV[value + 2]), tonumber(ARGV[value + 3])
                    if first > 0 then
                      member = string.sub(member, 1, first - 1) .. ARGV[value + 4] .. string.sub(member, last + 1)
                    end
                    if delay > 0 then
                      refusal = fault(redis.pcall('ZADD', KEYS[5], string.format('%.6f', now + delay), member))
                    else
                      refusal = fault(redis.pcall('ZADD', KEYS[1], ARGV[value + 1], member))
                    end
                  end
                  if refusal then
                    outcomes[i] = '2'
                    complaint = refusal
                  end
                else
                  -- The entry comes first: it is what must not be lost.
                  local refusal = fault(redis.pcall('LPUSH', KEYS[6], ARGV[value]))
                  if refusal then
                    outcomes[i] = '3'
                    complaint = refusal
                  else
                    local list = ARGV[value + 1]
                    if list ~= '' then
                      local pushed = fault(redis.pcall('LPUSH', list, ARGV[value + 3]))
                      if pushed then
                        warning = pushed
                      elseif tonumber(ARGV[value + 2]) > 0 then
                        redis.pcall('EXPIRE', list, ARGV[value + 2])
                      end
                    end
                    drop(ARGV[value + 4], ARGV[value + 5], ARGV[value + 6])
                  end
                end
              end
              if outcomes[i] == '1' and owners[i] == ARGV[item + 3] then ended[#ended + 1] = key end
            end
            if #ended > 0 then
              for _, reply in ipairs({
                redis.pcall('HDEL', KEYS[2], unpack(ended)), redis.pcall('HDEL', KEYS[3], unpack(ended)),
                redis.pcall('ZREM', KEYS[4], unpack(ended)),
              }) do
                warning = fault(reply) or warning
              end
            end
            local summary = table.concat(outcomes)
            warning = fault(redis.pcall('SET', KEYS[7], summary, 'EX', ARGV[1])) or warning
            if #unused > 0 then warning = fault(redis.pcall('DEL', unpack(unused))) or warning end
            return {summary, complaint, warning}
            """#)
}
