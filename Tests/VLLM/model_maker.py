"""Makes a small language model out of nothing: a tokenizer learned from the texts at hand, and a shape without weights.

vLLM fills the weights with noise (`--load-format dummy`). What the model says means nothing; how long it takes and what it
caches is real.
"""

import json
import pathlib
import sysconfig

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 4096
END_OF_TEXT, TURN_BEGINS, TURN_ENDS = SPECIAL = ["<|end of text|>", "<|turn|>", "<|turn ends|>"]
CHAT_TEMPLATE = (
    "{% for turn in messages %}"
    "{{ '" + TURN_BEGINS + "' + turn.role + '\\n' + turn.content + '" + TURN_ENDS + "\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '" + TURN_BEGINS + "assistant\\n' }}{% endif %}"
)


def texts(limit=100):
    """Texts of every machine that this runs on: Python's own library."""
    for path in sorted(pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py"))[:limit]:
        yield path.read_text(errors="replace")


def make_tokenizer():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def make_model(folder, hidden=512, layers=8, longest=4096):
    """Writes tokenizer and shape (Llama) into a folder. The default takes about 0.7 ms of one core per prompt token."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))

    def write(name, content):
        (folder / name).write_text(json.dumps(content, indent=1))

    head = 64
    end = tokenizer.token_to_id(TURN_ENDS)
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": longest, "bos_token": None,
        "eos_token": TURN_ENDS, "pad_token": END_OF_TEXT, "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    })
    write("generation_config.json", {"eos_token_id": end, "pad_token_id": tokenizer.token_to_id(END_OF_TEXT)})
    write("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "dtype": "bfloat16",
        "hidden_size": hidden, "intermediate_size": 3 * hidden, "num_hidden_layers": layers,
        "num_attention_heads": hidden // head, "num_key_value_heads": max(1, hidden // head // 2), "head_dim": head,
        "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": longest,
        "vocab_size": VOCABULARY, "tie_word_embeddings": True, "bos_token_id": None, "eos_token_id": end,
    })
    return folder
