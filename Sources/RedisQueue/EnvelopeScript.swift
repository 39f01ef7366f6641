/// Lua shared by the scripts: what they have to know of a member, read without touching its payload where its writer put
/// the members of the envelope in the order in which the published producers put them.
enum EnvelopeScript {
    /// `identity(member, longest)` returns id, token, queue, deadline, sequence, score and retries, or nil if the member is
    /// no envelope, or is of another shape and longer than `longest`; and how many bytes of JSON it had to decode.
    /// `queue_score(identity)` is the score that its
    /// producer gave it: the deadline, and behind the point the number of its submission (llm-d-async's rule).
    static let source = #"""
        local function text(value)
          if type(value) == 'string' then return value end
          return ''
        end
        local function identity(member, longest)
          local internal, data = string.match(member, '^{"internal":({.-}),"request_kind":"%a+","data":{()')
          local id, deadline, at
          if data then
            id, at = string.match(member, '^"id":"([^"\\]*)"()', data)
            if at then deadline = string.match(member, '^,"created":%-?%d+,"deadline":(%d+)[,}]', at) end
          end
          local known, fields
          local decoded = 0
          if deadline then
            known, fields = pcall(cjson.decode, internal)
          else
            if #member > longest then return nil, 0 end
            local whole
            decoded = #member
            known, whole = pcall(cjson.decode, member)
            if not known or type(whole) ~= 'table' or type(whole['data']) ~= 'table' then return nil, decoded end
            fields = whole['internal']
            if type(fields) ~= 'table' then fields = {} end
            id, deadline = whole['data']['id'], whole['data']['deadline']
          end
          if not known or type(fields) ~= 'table' or type(id) ~= 'string' then return nil, decoded end
          local own = type(fields['weir']) == 'table' and fields['weir'] or {}
          return {
            id = id, token = text(fields['request_token']), queue = text(fields['request_queue_name']),
            deadline = tonumber(deadline), sequence = tonumber(fields['enqueue_seq']) or 0,
            score = tonumber(text(own['score'])) and own['score'], retries = tonumber(fields['retry_count']) or 0
          }, decoded
        end
        local function queue_score(envelope)
          if not envelope then return nil end
          if envelope.score then return envelope.score end
          if not envelope.deadline then return nil end
          local sequence = math.max(0, math.min(envelope.sequence, 2097151))
          return string.format('%.17g', envelope.deadline + sequence / 2097152)
        end
        local function server_time()
          local time = redis.call('TIME')
          return tonumber(time[1]) + tonumber(time[2]) / 1000000
        end

        """#
}
