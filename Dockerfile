# The app in a container: docker build -t stylex . && docker run -p 7860:7860 stylex    (docs/deploy.md says more)
FROM python:3.12-slim

# An address of wheels to look at first: those of torch without CUDA are a tenth as large.
ARG TORCH_INDEX=""
WORKDIR /app
COPY requirements.txt .
RUN if [ -n "$TORCH_INDEX" ]; then pip install --no-cache-dir --index-url "$TORCH_INDEX" torch torchvision; fi && \
    pip install --no-cache-dir -r requirements.txt
COPY LICENSE README.md app.py ./
COPY docs docs
COPY front front
COPY stylex stylex
COPY checkpoints checkpoints

# What visitors send and what is pulled from the Hub lands in the home of a user who owns nothing else.
RUN useradd --create-home --uid 1000 visitor
USER visitor
ENV GRADIO_SERVER_NAME=0.0.0.0 \
    GRADIO_ANALYTICS_ENABLED=False \
    GRADIO_TEMP_DIR=/home/visitor/pictures \
    HF_HUB_DISABLE_TELEMETRY=1 \
    PYTHONUNBUFFERED=1
EXPOSE 7860
HEALTHCHECK --start-period=60s --interval=30s --timeout=10s \
    CMD ["env", "no_proxy=127.0.0.1", "python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/config', timeout=8)"]
CMD ["python", "app.py"]
